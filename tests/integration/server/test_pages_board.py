"""The leaderboard, the badge and the API's page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from server_world import Robot, World, add_repository, session_result
from sqlalchemy import delete

from github_app import leaderboard, openapi, policy, retention, tasks
from github_app.bests_before import BestsBefore
from github_app.leaderboard import Row
from github_app.models import Best
from github_app.moves import utc_now
from github_app.policy import Viewer

RETURN = tasks.TASKS[0]


def run(
    world: World, robot: Robot, *, repository: int = 1, conclusion: str = "success", **scores: float | None
) -> int:
    """A job from its submission to its end; its number. The robot is a simulated goose."""
    number = world.submit(repository_id=repository)
    job = robot.running_job()
    assert job["id"] == number
    assert finish(robot, job, conclusion, **scores) == 204
    return number


def finish(
    robot: Robot, job: dict[str, Any], conclusion: str, passport: str = "simulated", **scores: float | None
) -> int:
    session = session_result(scores=scores, passport=passport)
    answer = robot.call(job, "finish", conclusion=conclusion, reason="", sessions=[session])
    return int(answer.status_code)


def board(world: World, plant: str = "simulated", viewer: Viewer = policy.STRANGER) -> list[Row]:
    with world.database.read() as session:
        return leaderboard.rows(session, RETURN, plant, "", viewer)


def test_a_repository_has_one_row_with_its_best_run(world: World) -> None:
    goose, heron = world.robot("goose", "pendulum"), world.robot("heron", "pendulum")
    other = add_repository(world.database, number=2)
    run(world, goose, episode_return=-800.0)
    best = run(world, heron, episode_return=-300.0, swing_up_time=3.25, composite=0.4)
    run(world, goose, episode_return=-500.0)
    theirs = run(world, goose, repository=other, episode_return=-400.0)
    rows = board(world)
    assert [(row.place, row.job_id, row.robot) for row in rows] == [(1, best, "heron"), (2, theirs, "goose")]
    shown = world.app.test_client().get("/leaderboard").get_data(as_text=True)
    assert f"/jobs/{best}#t=3.25" in shown
    assert RETURN.formula[0] in shown
    one = world.app.test_client().get("/leaderboard?robot=goose").get_data(as_text=True)
    assert f"/jobs/{best}#" not in one


def test_simulation_and_real_robots_are_never_mixed(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    run(world, goose, episode_return=-100.0)
    world.submit()
    real = goose.running_job()
    finish(goose, real, "success", passport="2026-11-20", episode_return=-900.0)
    assert [row.score for row in board(world)] == ["-100"]
    assert [(row.job_id, row.score) for row in board(world, "hardware")] == [(real["id"], "-900")]


@pytest.mark.parametrize("conclusion", ["cancelled", "neutral"])
def test_what_is_no_result_is_not_ranked(world: World, conclusion: str) -> None:
    run(world, world.robot("goose", "pendulum"), conclusion=conclusion, episode_return=-1.0)
    assert board(world) == []


def test_a_run_without_the_score_is_not_ranked(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    run(world, goose, episode_return=None, composite=0.0, swing_up_time=20.0)
    with world.database.read() as session:
        assert session.query(Best).count() == 0, "no return, and a swing-up that never held"


def test_private_repositories_are_on_the_board_of_their_readers_only(world: World) -> None:
    secret = add_repository(world.database, private=True, number=9)
    run(world, world.robot("goose", "pendulum"), repository=secret, episode_return=-1.0)
    assert board(world) == []
    assert "pendulum-9" not in world.app.test_client().get("/leaderboard").get_data(as_text=True)
    assert [row.repository for row in board(world, viewer=Viewer("alice", frozenset({secret})))] == [
        "alice/pendulum-9"
    ]


def test_the_files_of_a_ranked_run_outlive_the_others(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    ranked, worse = run(world, goose, episode_return=-1.0), run(world, goose, episode_return=-2.0)
    later = utc_now() + timedelta(days=1000)
    retention.sweep(world.services, now=later)
    assert world.job(ranked).files_removed_at is None
    assert world.job(worse).files_removed_at is not None
    run(world, goose, episode_return=-0.5)
    retention.sweep(world.services, now=later)
    assert world.job(ranked).files_removed_at is not None, "a better one took its place"


def badge(world: World, name: str, **headers: str) -> Any:
    return world.app.test_client().get(f"/badge/alice/{name}.svg", headers=headers)


def test_the_badge_says_the_last_verdict_of_the_default_branch(world: World) -> None:
    goose = world.robot("goose", "pendulum")
    run(world, goose, episode_return=-312.0)
    number = world.submit(ref="other")
    finish(goose, goose.running_job(), "failure")
    assert number == world.job(number).id
    first = badge(world, "pendulum-1")
    assert "passed, return -312" in first.text
    assert first.headers["Cache-Control"] == "public, max-age=60"
    assert badge(world, "pendulum-1", **{"If-None-Match": first.headers["ETag"]}).status_code == 304
    run(world, goose, conclusion="failure")
    assert "failed" in badge(world, "pendulum-1").text


def test_a_private_and_an_unknown_repository_have_the_same_badge(world: World) -> None:
    secret = add_repository(world.database, private=True, number=9)
    run(world, world.robot("goose", "pendulum"), repository=secret, episode_return=-1.0)
    assert badge(world, "pendulum-9").text == badge(world, "nothing").text


def test_the_api_s_page_shows_every_call_and_every_message(world: World) -> None:
    page = world.app.test_client().get("/api/docs").get_data(as_text=True)
    document = openapi.document("http://raas.test")
    assert all(path in page for path in document["paths"])
    assert all(f'id="{name}"' in page for name in document["components"]["schemas"])
    assert len(page) < 150_000


def test_unknown_tasks_robots_and_plants_are_not_found(world: World) -> None:
    for query in ("task=none", "on=moon", "robot=nobody"):
        assert world.app.test_client().get(f"/leaderboard?{query}").status_code == 404


def test_jobs_from_before_the_table_are_filled_in_once_and_a_restart_goes_on(world: World) -> None:
    goose, heron = world.robot("goose", "pendulum"), world.robot("heron", "pendulum")
    run(world, goose, episode_return=-800.0)
    best = run(world, heron, episode_return=-300.0)
    run(world, goose, conclusion="cancelled", episode_return=-1.0)
    world.submit()
    expected = board(world)
    with world.database.write() as session:
        session.execute(delete(Best))
    first = BestsBefore(world.database, step=1)
    first.work()
    assert [row.score for row in board(world)] == ["-800"]
    assert not first.done
    later = BestsBefore(world.database, step=1)  # another process, or after a restart
    for _ in range(3):
        assert not later.done
        later.work()
    assert later.done
    assert board(world) == expected
    assert [row.job_id for row in expected] == [best]
    finished = BestsBefore(world.database)
    with world.database.write() as session:
        session.execute(delete(Best))
    finished.work()
    assert finished.done
    assert board(world) == [], "it is done once"


def test_a_new_installation_has_nothing_to_fill_in(world: World) -> None:
    filler = BestsBefore(world.database)
    filler.work()
    assert filler.done
