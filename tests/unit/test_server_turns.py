"""The queue played forward, on paper."""

from __future__ import annotations

import random

import pytest

from github_app.forward import Newcomer, Queued, Seat, Turn, play
from github_app.usage import Usage

GOOSE, DUCK = frozenset({"pendulum", "goose"}), frozenset({"pendulum", "duck"})


def jobs(*lanes: str, takes_s: float = 60.0) -> list[Queued]:
    return [Queued(number, lane, takes_s) for number, lane in enumerate(lanes, 1)]


def test_one_robot_takes_one_after_the_other() -> None:
    turns = play([Seat(30.0, GOOSE)], jobs("pendulum", "pendulum", "pendulum"))
    assert turns == {1: Turn(1, 30.0), 2: Turn(2, 90.0), 3: Turn(3, 150.0)}


def test_two_robots_share_a_line() -> None:
    turns = play([Seat(0.0, GOOSE), Seat(20.0, DUCK)], jobs("pendulum", "pendulum", "pendulum", "pendulum"))
    assert [turns[number].in_s for number in range(1, 5)] == [0.0, 20.0, 60.0, 80.0]


def test_jobs_of_another_lane_stand_before_it_where_they_share_its_robot() -> None:
    turns = play([Seat(0.0, GOOSE), Seat(0.0, DUCK)], jobs("goose", "duck", "duck", "pendulum"))
    assert turns[4] == Turn(3, 60.0)
    assert play([Seat(0.0, DUCK)], jobs("duck", "duck", "pendulum"))[3] == Turn(3, 120.0)


def test_nobody_knows_when_no_robot_serves_it() -> None:
    turns = play([Seat(0.0, DUCK)], jobs("goose", "pendulum", "goose"))
    assert turns == {1: Turn(1, None), 2: Turn(1, 0.0), 3: Turn(2, None)}
    assert play([], jobs("pendulum")) == {1: Turn(1, None)}


def test_newcomers_go_before_the_many_jobs_of_one_owner_but_count_as_nobody_s_place() -> None:
    many = [Queued(number, "pendulum", 60.0, "bulk", 100.0 * number, 100.0) for number in range(1, 4)]
    come = [Newcomer(at, owner, "pendulum", 60.0, 100.0) for at, owner in ((10.0, "a"), (20.0, "bulk"))]
    turns = play([Seat(0.0, GOOSE)], many, come, {"pendulum": 100.0})
    assert turns == {1: Turn(1, 0.0), 2: Turn(2, 120.0), 3: Turn(3, 180.0)}


def test_an_idle_robot_waits_for_whoever_comes() -> None:
    come = iter([Newcomer(30.0, "a", "goose", 60.0, 100.0)])
    turns = play([Seat(0.0, GOOSE), Seat(40.0, DUCK)], jobs("duck"), come, {"goose": 0.0})
    assert turns == {1: Turn(1, 40.0)}


@pytest.mark.parametrize(
    ("claimed_s", "started_s", "least_s", "most_s"),
    [
        (0.0, None, 34.0, 106.0),
        (6.0, None, 28.0, 100.0),
        (30.0, None, 24.0, 96.0),
        (40.0, 20.0, 4.0, 76.0),
        (70.0, 50.0, 46.0, 46.0),
        (130.0, 110.0, 1.0, 1.0),
        (200.0, 180.0, 0.0, 0.0),
    ],
)
def test_what_is_left_of_a_job(
    claimed_s: float, started_s: float | None, least_s: float, most_s: float
) -> None:
    usage, draw = Usage(shares=(0.2, 0.8), prepare_s=10.0), random.Random(1)
    seen = {round(usage.draw_rest_s(draw, 120.0, claimed_s, started_s), 6) for _ in range(50)}
    assert (min(seen), max(seen)) == (least_s, most_s)
