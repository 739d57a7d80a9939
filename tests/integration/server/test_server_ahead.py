"""Jobs claimed ahead: held for a busy robot's next turn, and given up to an idle one."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from server_world import ROBOT, Robot, World, job_request
from sqlalchemy.orm import Session

from github_app import background, claims, leases, queue
from github_app.background import Background
from github_app.claims import ClaimRequest
from github_app.models import Job
from github_app.moves import utc_now
from runner.protocol import RobotReport


@dataclass
class Scene:
    """A busy runner, the job on its robot, and one it holds ahead."""

    world: World
    busy: Robot
    running: dict[str, Any]
    held: dict[str, Any]

    def step(self) -> str:
        return self.world.job(self.held["id"]).status


def claim_ahead(robot: Robot, key: str = "") -> Any:
    key = key or secrets.token_hex(16)
    return robot.post("claim", key=key, wait_s=0, robot=ROBOT, software="1", ahead=True)


@pytest.fixture
def scene(world: World) -> Scene:
    world.submit()
    busy = world.robot("busy")
    running = busy.running_job()
    world.submit()
    return Scene(world, busy, running, claim_ahead(busy).get_json())


@pytest.fixture
def loops(world: World) -> Iterator[Background]:
    found = Background(world.app)
    found.start()
    yield found
    found.stop()


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]


def test_an_idle_robot_gets_what_a_busy_one_only_holds(scene: Scene) -> None:
    got = scene.world.robot("idle").claim().get_json()
    assert got["id"] == scene.held["id"]
    assert scene.world.events(got["id"]) == ["queued", "claimed", "released", "claimed"]


def test_its_former_holder_is_told_that_it_was_released(scene: Scene) -> None:
    scene.world.robot("idle").claim()
    for what in ("heartbeat", "running", "release"):
        assert error(scene.busy.call(scene.held, what)) == (409, "released")
    assert scene.busy.call(scene.running, "heartbeat").status_code == 200


def test_a_robot_that_waits_already_is_called(scene: Scene, loops: Background) -> None:
    """It found the queue empty before the busy one took the job that came."""
    scene.busy.call(scene.held, "release")
    idle, answers = scene.world.robot("idle"), list[Any]()
    scene.world.cancel(scene.held["id"])
    waiting = threading.Thread(target=lambda: answers.append(idle.claim(wait_s=40)))
    waiting.start()
    while not len(scene.world.services.dispatcher):
        assert waiting.is_alive()
        time.sleep(0.01)
    with scene.world.database.write() as session:  # in one transaction: the idle one never sees it queued
        number = _submit_and_hold(session, scene)
    waiting.join(60)
    assert answers[0].get_json()["id"] == number


def _submit_and_hold(session: Session, scene: Scene) -> int:
    number = queue.submit(session, job_request(scene.world.repository)).id
    runner = session.get_one(Job, scene.running["id"]).runner_id
    wish = ClaimRequest(runner, secrets.token_hex(16), RobotReport.model_validate(ROBOT), "1", ahead=True)
    job = claims.claim(session, wish, lease_s=30)
    assert job is not None
    assert job.id == number
    return number


def test_the_job_keeps_its_place_and_nothing_counts_as_lost(scene: Scene) -> None:
    later = scene.world.submit()
    idle = scene.world.robot("idle")
    assert idle.claim().get_json()["id"] == later  # what nobody holds comes first
    idle.call({"id": later, "fence": scene.world.job(later).fence}, "running")
    for name in ("a", "b", "c", "d"):  # however often it is handed on
        robot = scene.world.robot(name)
        robot.post("claim", key=secrets.token_hex(16), wait_s=0, robot=ROBOT, software="1", ahead=True)
        got = robot.claim().get_json()
        assert got["id"] == scene.held["id"]
        robot.call(got, "release")
        assert claim_ahead(idle).get_json()["id"] == scene.held["id"]
    assert "lease_lost" not in scene.world.events(scene.held["id"])
    assert scene.step() == "claimed"


def test_only_a_robot_that_could_run_it_gets_it(scene: Scene) -> None:
    assert scene.world.robot("other").claim(kind="cartpole").status_code == 204
    assert scene.world.robot("ill").claim(healthy=False).status_code == 204
    assert scene.step() == "claimed"


def test_a_busy_robot_does_not_get_it(scene: Scene) -> None:
    assert claim_ahead(scene.world.robot("busy-too")).status_code == 204
    assert scene.busy.call(scene.held, "heartbeat").status_code == 200


def test_once_it_runs_it_stays(scene: Scene) -> None:
    assert scene.busy.call(scene.held, "running").status_code == 204
    assert scene.world.robot("idle").claim().status_code == 204


def test_a_key_asked_again_for_now_is_no_claim_ahead_any_more(world: World) -> None:
    """The answer was lost, the session ended, and the runner repeats the key for its idle robot."""
    world.submit()
    robot, key = world.robot("busy"), secrets.token_hex(16)
    first = claim_ahead(robot, key).get_json()
    assert robot.claim(key=key).get_json()["fence"] == first["fence"]
    assert world.robot("idle").claim().status_code == 204


def test_a_cancelled_one_is_not_handed_on(scene: Scene) -> None:
    scene.world.cancel(scene.held["id"])
    assert scene.world.robot("idle").claim().status_code == 204
    assert scene.busy.call(scene.held, "heartbeat").get_json()["cancel"] == "changed my mind"


def test_many_idle_robots_and_one_job(scene: Scene) -> None:
    idle = [scene.world.robot(f"idle-{number}") for number in range(6)]
    answers: list[Any] = []
    asks = [threading.Thread(target=lambda robot=robot: answers.append(robot.claim())) for robot in idle]
    for ask in asks:
        ask.start()
    for ask in asks:
        ask.join(60)
    got = [answer.get_json()["id"] for answer in answers if answer.status_code == 200]
    assert got == [scene.held["id"]]


def test_a_lost_runner_gives_back_what_it_held_ahead(scene: Scene) -> None:
    """The table of states: what moved is lost, what waited has its old place."""
    later, here = utc_now() + timedelta(seconds=31), scene.world.services
    with scene.world.database.write() as session:
        leases.reap(session, scene.world.database, background.lease_rules(here), now=later)
    running = scene.world.job(scene.running["id"])
    assert (running.status, running.conclusion, running.lost) == ("completed", "neutral", True)
    assert scene.step() == "queued"
    behind = scene.world.submit()
    assert scene.world.robot("idle").claim().get_json()["id"] == scene.held["id"] < behind
