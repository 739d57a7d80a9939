"""The JOB CONTRACT over HTTP, call by call, on both databases."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from server_world import ROBOT, MakeSettings, Robot, World, piece
from sqlalchemy import update

from github_app import app as application
from github_app import background, joblog, leases, tokens
from github_app.background import Background
from github_app.models import Job, Runner
from github_app.moves import utc_now
from raas_gym import control
from runner.protocol import ClaimedJob

KEY = "c" * 32


@pytest.fixture
def loops(world: World) -> Iterator[Background]:
    """The background loops, running."""
    found = Background(world.app)
    found.start()
    yield found
    found.stop()


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]


def test_another_protocol_is_refused_by_name(world: World) -> None:
    robot = world.robot()
    robot.headers["RAAS-Protocol"] = "7"
    answer = robot.claim()
    assert error(answer) == (426, "protocol")
    assert "speaks RAAS-Protocol 1, you 7" in answer.get_json()["message"]


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", "Basic Zm9v"])
def test_without_its_token_a_runner_is_nobody(world: World, header: str) -> None:
    robot = Robot(world.app, "")
    robot.headers["Authorization"] = header
    answer = robot.post("claim", nonsense=True)
    assert error(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_invitation_is_good_once(world: World) -> None:
    invitation = world.invite("goose", "left")
    robot = Robot(world.app, "")
    answer = robot.post("register", token=invitation, software="1")
    assert answer.get_json()["name"] == "goose"
    assert answer.get_json()["labels"] == ["left"]
    assert error(robot.post("register", token=invitation, software="1")) == (401, "unauthorized")


def test_an_invitation_grows_old(world: World) -> None:
    with world.database.write() as session:
        invitation = tokens.invite(session, "goose", [], utc_now() - timedelta(days=2))
    assert error(Robot(world.app, "").post("register", token=invitation, software="1")) == (
        401,
        "unauthorized",
    )


def test_tokens_are_stored_as_digests(world: World) -> None:
    invitation = world.invite("goose")
    token = Robot(world.app, "").post("register", token=invitation, software="1").get_json()["token"]
    with world.database.read() as session:
        runner = session.query(Runner).one()
        assert runner.token_hash == tokens.digest(token)
        assert runner.invite_hash is None


def test_a_revoked_runner_is_out_at_once(world: World) -> None:
    robot = world.robot("goose")
    with world.database.write() as session:
        tokens.revoke(session, "goose", utc_now())
    assert error(robot.claim()) == (401, "unauthorized")


def test_a_second_invitation_voids_the_old_token(world: World) -> None:
    robot = world.robot("goose")
    world.invite("goose")
    assert error(robot.claim()) == (401, "unauthorized")


def test_nothing_came(world: World) -> None:
    assert world.robot().claim().status_code == 204


def test_the_life_of_a_job(world: World) -> None:
    job_id = world.submit(sessions=2, config={"version": 1, "run": "python run.py"})
    robot = world.robot("goose")
    answer = robot.claim(key=KEY)
    job = ClaimedJob.model_validate_json(answer.data)
    assert (job.id, job.attempt, job.sessions, job.repository) == (job_id, 1, 2, "alice/pendulum-1")
    assert job.url == f"http://raas.test/jobs/{job_id}"
    assert job.limits.timeout_s == 120.0
    again = robot.claim(key=KEY)
    assert again.get_json() == answer.get_json()
    assert again.headers["RAAS-Server"] == answer.headers["RAAS-Server"]
    assert control.SERVER_ID.fullmatch(answer.headers["RAAS-Server"])
    held = answer.get_json()
    beat = robot.call(held, "heartbeat", phase="preparing", log=piece(0, b"one\n"))
    assert beat.get_json() == {"log_length": 4, "cancel": None}
    assert robot.call(held, "running").status_code == 204
    assert robot.call(held, "running").status_code == 204
    finish = {
        "conclusion": "success",
        "reason": "done",
        "log": piece(4, b"two\n"),
        "timings": {"source": 0.1},
    }
    assert robot.call(held, "finish", **finish).status_code == 204
    assert robot.call(held, "finish", **finish).status_code == 204
    assert world.events(job_id) == ["queued", "claimed", "running", "finished"]
    shown = world.app.test_client().get(f"/api/v1/jobs/{job_id}").get_json()
    assert (shown["status"], shown["conclusion"], shown["robot"]) == ("completed", "success", "goose")
    with world.database.read() as session:
        assert joblog.read(session, world.job(job_id)) == b"one\ntwo\n"


def test_the_servers_limits_hold_whatever_the_repository_asks(world: World) -> None:
    world.submit(timeout_s=1e6, sessions=1000)
    job = ClaimedJob.model_validate_json(world.robot().claim().data)
    assert (job.limits.timeout_s, job.sessions) == (600.0, 10)


def test_a_stale_fence_is_a_conflict(world: World) -> None:
    world.submit()
    robot = world.robot()
    job = robot.running_job()
    stale = job | {"fence": "f" * 32}
    for what, body in {
        "running": {},
        "heartbeat": {},
        "release": {},
        "finish": {"conclusion": "failure", "reason": ""},
        "artifacts": {"files": []},
        "telemetry": {"session": 0, "columns": [], "rows": []},
    }.items():
        assert error(robot.call(stale, what, **body)) == (409, "stale_fence"), what


def test_a_job_that_is_not_there(world: World) -> None:
    assert error(world.robot().call({"id": 99, "fence": "x"}, "running")) == (404, "no_such_job")


def test_cancelled_before_the_robot_moved(world: World) -> None:
    job_id = world.submit()
    robot = world.robot()
    job = robot.claim().get_json()
    world.cancel(job_id)
    assert error(robot.call(job, "running")) == (409, "cancelled")
    assert robot.call(job, "heartbeat").get_json()["cancel"] == "changed my mind"
    assert robot.call(job, "finish", conclusion="cancelled", reason="asked to").status_code == 204


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"phase": "x", "colour": "red"}, "colour"),
        ({"phase": 7}, "phase"),
        ({"log": {"offset": -1, "data": ""}}, "log.offset"),
        ({"log": {"offset": 0, "data": "A" * 400_000}}, "log.data"),
    ],
)
def test_a_wrong_message_names_its_field(world: World, body: dict[str, Any], place: str) -> None:
    world.submit()
    robot = world.robot()
    answer = robot.call(robot.claim().get_json(), "heartbeat", **body)
    assert error(answer) == (422, "invalid")
    assert answer.get_json()["message"].startswith(f"{place}: ")


def test_log_that_is_not_base64(world: World) -> None:
    world.submit()
    robot = world.robot()
    answer = robot.call(robot.claim().get_json(), "heartbeat", log={"offset": 0, "data": "?!"})
    assert error(answer) == (422, "bad_log")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b'{"key": "\\ud800"}'])
def test_bodies_that_are_no_message(world: World, raw: bytes) -> None:
    robot = world.robot()
    answer = robot.client.post("/api/v1/runner/claim", data=raw, headers=robot.headers)
    assert error(answer) == (422, "invalid")


def test_a_body_that_is_too_long(world: World) -> None:
    robot = world.robot()
    answer = robot.client.post("/api/v1/runner/claim", data=b" " * (1 << 20) + b"{}", headers=robot.headers)
    assert answer.status_code == 413
    assert "message" in answer.get_json()


def test_characters_and_numbers_that_databases_refuse(world: World) -> None:
    job_id = world.submit()
    robot = world.robot()
    job = robot.running_job()
    assert robot.call(job, "heartbeat", phase="a\x00b").status_code == 200
    told = {"conclusion": "failure", "reason": "nul \x00 inside", "timings": {"source": float("nan")}}
    raw = json.dumps({"fence": job["fence"], **told})
    url = f"/api/v1/runner/jobs/{job_id}/finish"
    assert robot.client.post(url, data=raw, headers=robot.headers).status_code == 204
    assert world.job(job_id).reason == "nul � inside"


def test_a_waiting_runner_gets_a_new_job_at_once(world: World, loops: Background) -> None:
    robot = world.robot()
    threading.Timer(0.3, world.submit).start()
    began = time.monotonic()
    answer = robot.claim(wait_s=20)
    assert answer.status_code == 200
    assert time.monotonic() - began < 10


def test_one_job_wakes_one_of_the_waiting(world: World, loops: Background) -> None:
    robots = [world.robot(name) for name in ("goose", "duck", "swan")]
    answers: list[int] = []
    waits = [
        threading.Thread(target=lambda robot=robot: answers.append(robot.claim(wait_s=20).status_code))
        for robot in robots
    ]
    for wait in waits:
        wait.start()
    while len(world.services.dispatcher) < len(robots):
        time.sleep(0.01)
    for _ in robots:
        world.submit()
    for wait in waits:
        wait.join()
    assert answers == [200, 200, 200]


def test_asking_again_ends_the_older_wait(world: World) -> None:
    robot = world.robot()
    answers: list[int] = []
    older = threading.Thread(target=lambda: answers.append(robot.claim(wait_s=30).status_code))
    older.start()
    while not len(world.services.dispatcher):
        time.sleep(0.01)
    twin = Robot(world.app, robot.headers["Authorization"].removeprefix("Bearer "))
    assert twin.claim(wait_s=0.1).status_code == 204
    older.join(10)
    assert answers == [204]


def test_a_stopping_server_sends_waiting_runners_away(world: World) -> None:
    robot = world.robot()
    threading.Timer(0.2, world.services.dispatcher.close).start()
    assert robot.claim(wait_s=30).status_code == 204
    answer = robot.claim(wait_s=30)
    assert error(answer) == (503, "stopping")
    assert answer.headers["Retry-After"] == "1"


def test_an_unhealthy_robot_waits_without_being_called(world: World, loops: Background) -> None:
    world.submit()
    robot = world.robot()
    body = {"key": KEY, "wait_s": 0.3, "robot": ROBOT | {"healthy": False, "message": "hot"}, "software": "1"}
    assert robot.post("claim", **body).status_code == 204


def test_telemetry_is_kept_for_the_moment(world: World) -> None:
    job_id = world.submit()
    robot = world.robot()
    job = robot.running_job()
    for theta in (0.1, 0.2):
        body = {"session": 0, "columns": ["t", "theta"], "rows": [[0.0, theta]]}
        assert robot.call(job, "telemetry", **body).status_code == 204
    frames = world.services.telemetry.since(job_id, 0)
    assert [json.loads(frame.data)["rows"] for frame in frames] == [[[0.0, 0.1]], [[0.0, 0.2]]]
    assert world.services.telemetry.since(job_id, frames[0].number) == frames[1:]


def test_the_reaper_waits_a_full_lease_after_a_start(make_settings: MakeSettings, database_url: str) -> None:
    settings = make_settings(DATABASE_URL=database_url, LEASE_S="0.6", HEARTBEAT_S="0.1")
    world = World(application.create_app(settings))
    job_id = world.submit()
    world.robot().running_job()
    long_ago = utc_now() - timedelta(seconds=100)
    with world.database.write() as session:
        session.execute(update(Job).values(lease_expires_at=long_ago))
    reaper = background.Reaper(world.services)
    began = time.monotonic()
    while not reaper.work():
        assert time.monotonic() < began + 20
        time.sleep(0.05)
    assert time.monotonic() > began + 0.5
    assert world.job(job_id).reason == leases.LOST_REASON
    application.close(world.app)


def test_after_a_gap_the_reaper_waits_again(make_settings: MakeSettings, database_url: str) -> None:
    settings = make_settings(DATABASE_URL=database_url, LEASE_S="0.6", HEARTBEAT_S="0.1")
    world = World(application.create_app(settings))
    world.submit()
    world.robot().running_job()
    reaper = background.Reaper(world.services)
    time.sleep(1.3)  # the process stood still: no heartbeat could arrive, and the lease lapsed
    assert reaper.work() == 0
    application.close(world.app)
