"""What is noted of a runner as it asks for a job, and when nothing is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from server_world import ROBOT, World
from sqlalchemy import select, update

from github_app import callers, presence, tokens
from github_app.claims import ClaimRequest, NoSuchRunnerError
from github_app.dispatch import ENTER_AT_ONCE
from github_app.models import Runner
from github_app.moves import utc_now
from runner.protocol import RobotReport


def known(world: World) -> Runner:
    """The only runner."""
    with world.database.read() as session:
        return session.scalars(select(Runner)).one()


def set_back(world: World) -> None:
    """As if the runner had been heard of a moment longer ago than is fresh."""
    with world.database.write() as session:
        session.execute(update(Runner).values(seen_at=utc_now() - presence.FRESH))


def test_a_runner_that_asks_was_seen_and_its_robot_is_known(world: World) -> None:
    began = utc_now()
    world.robot().claim(healthy=False, message="overheated")
    row = known(world)
    assert row.seen_at is not None
    assert began <= row.seen_at <= utc_now()
    assert row.software == "1"
    assert row.robot is not None
    assert (row.robot["plant"], row.robot["message"]) == ("simulated", "overheated")


def test_the_same_a_moment_later_writes_nothing(world: World) -> None:
    robot = world.robot()
    robot.claim()
    before = known(world).seen_at
    robot.claim()
    assert known(world).seen_at == before


def test_another_report_is_noted_at_once(world: World) -> None:
    robot = world.robot()
    robot.claim()
    robot.claim(healthy=False, message="overheated")
    assert (known(world).robot or {})["healthy"] is False
    robot.claim()
    assert (known(world).robot or {})["healthy"] is True


def test_the_same_report_after_a_while_says_that_it_is_still_there(world: World) -> None:
    robot = world.robot()
    robot.claim()
    set_back(world)
    before = known(world).seen_at
    robot.claim()
    assert before is not None
    assert (known(world).seen_at or before) > before


def test_a_crowd_at_the_door_keeps_nobody_else_waiting(world: World) -> None:
    busy, comer = world.robot("busy"), world.robot("comer")
    world.submit()
    job = busy.running_job()
    door = world.services.dispatcher.door
    with ExitStack() as crowd, ThreadPoolExecutor(1) as pool:
        for _ in range(ENTER_AT_ONCE):
            crowd.enter_context(door)
        asks = pool.submit(comer.claim)
        assert busy.call(job, "heartbeat").status_code == 200
        assert not asks.done()
        crowd.close()
        assert asks.result(30).status_code == 204


def test_a_runner_that_was_revoked_meanwhile_is_not_seen_any_more(world: World) -> None:
    robot = world.robot("goose")
    robot.claim()
    caller = callers.find(world.database, robot.headers["Authorization"].removeprefix("Bearer "))
    assert caller is not None
    with world.database.write() as session:
        tokens.revoke(session, "goose", utc_now())
    wish = ClaimRequest(caller.id, "k" * 32, RobotReport.model_validate(ROBOT), "2")
    with world.database.write() as session, pytest.raises(NoSuchRunnerError):
        presence.note(session, caller, wish, utc_now())
    assert known(world).software == "1"
