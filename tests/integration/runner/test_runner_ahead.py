"""The next job, claimed and prepared while the robot is busy: taken, given up, cancelled, drained, killed."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from runner_lab import FAST, STEPPING, Lab, running_lab

from demo.processes import script, wait_until
from demo.stack import LABELS
from runner.client import Client
from runner.protocol import Claim, RobotReport

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

SOON = {".raas.yml": "timeout: 14\n"}
"""With so short a limit, the end of a session is near from its beginning."""
ROBOT = RobotReport(kind="pendulum", plant="simulated", env_ids=[], healthy=True, passport="simulated")
WISH = Claim(key="d" * 32, wait_s=0.0, robot=ROBOT, software="1")
LONG = STEPPING.format(steps=100)
ENDLESS = STEPPING.format(steps=1000)
"""It outlives the absence of a runner that is started on a slow machine."""
SHORT = STEPPING.format(steps=2)


@pytest.fixture(scope="module")
def running(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("ahead") / "lab", FAST) as lab:
        yield lab


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    running.ready()
    yield running
    running.tidy()


@pytest.fixture
def scene(lab: Lab) -> tuple[str, str]:
    return one_at_hand_and_one_ahead(lab)


def one_at_hand_and_one_ahead(lab: Lab, program: str = LONG) -> tuple[str, str]:
    """One job that moves the robot, and one that waits for it, prepared."""
    at_hand = lab.push(program, SOON)
    lab.until(at_hand, "running")
    following = lab.push(SHORT, SOON)
    prepared(lab, following)
    return at_hand, following


def prepared(lab: Lab, number: str) -> None:
    wait_until(
        lambda: job_row(lab, number)["phase"] == "waiting for the robot", 30, "the next job to be prepared"
    )
    assert (lab.job(number)["step"], job_row(lab, number)["ahead"]) == ("claimed", 1)


def job_row(lab: Lab, number: str) -> dict[str, Any]:
    with closing(sqlite3.connect(lab.stack.data / "server" / "raas.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        return dict(database.execute("SELECT * FROM jobs WHERE id = ?", (number,)).fetchone())


def position(lab: Lab, number: str, kind: str) -> int:
    """When it happened among all that happened."""
    query = "SELECT max(id) FROM job_events WHERE job_id = ? AND kind = ?"
    with closing(sqlite3.connect(lab.stack.data / "server" / "raas.sqlite3")) as database:
        found = database.execute(query, (number, kind)).fetchone()[0]
    assert found is not None, f"job {number} was never {kind}"
    return int(found)


def test_it_begins_as_soon_as_the_robot_is_free(lab: Lab, scene: tuple[str, str]) -> None:
    at_hand, following = scene
    assert lab.until(following, "completed")["conclusion"] == "success"
    assert lab.until(at_hand, "completed")["conclusion"] == "success"
    ended = json.loads(job_row(lab, at_hand)["results"])["ended_at"]
    began = json.loads(job_row(lab, following)["results"])["started_at"]
    assert datetime.fromisoformat(began) > datetime.fromisoformat(ended)  # one session at a time
    assert (lab.sessions(at_hand), lab.sessions(following)) == (1, 1)
    assert lab.events(following) == ["queued", "claimed", "running", "finished"]


def test_a_robot_that_is_idle_gets_it(lab: Lab) -> None:
    idle = another_robot(lab)  # before the session begins, which is short
    at_hand, following = one_at_hand_and_one_ahead(lab)
    got = idle.claim(WISH)
    assert got is not None
    assert str(got.job.id) == following
    wait_until(lambda: not list(lab.data.glob(f"jobs/{following}-*")), 30, "the former holder to drop it")
    idle.release(got.job.id, got.job.fence)
    idle.close()
    assert lab.until(at_hand, "completed")["conclusion"] == "success"
    assert lab.until(following, "completed")["conclusion"] == "success"
    assert (lab.sessions(at_hand), lab.sessions(following)) == (1, 1)
    assert "lease_lost" not in lab.events(following)


def another_robot(lab: Lab) -> Client:
    add = [script("raas-server"), "runner", "add", "duck", "--labels", LABELS]
    said = subprocess.run(add, env=lab.stack.server_environment(), capture_output=True, text=True, check=True)
    newcomer = Client(lab.stack.url)
    token = newcomer.register(said.stdout.strip().splitlines()[-1].strip()).token
    newcomer.close()
    return Client(lab.stack.url, token)


def test_a_drain_releases_it_and_ends_the_job_at_hand(lab: Lab, scene: tuple[str, str]) -> None:
    at_hand, following = scene
    lab.runner.signal(signal.SIGTERM)
    wait_until(lambda: not lab.runner.running, 60, "the runner to drain")
    assert lab.job(at_hand)["conclusion"] == "success"
    assert position(lab, following, "released") < position(lab, at_hand, "finished")
    assert lab.left_behind() == []
    assert lab.events(following) == ["queued", "claimed", "released"]
    lab.restart_runner()
    assert lab.until(following, "completed")["conclusion"] == "success"


def test_killed_with_one_running_and_one_ahead(lab: Lab) -> None:
    """What moved is concluded from its recording; what waited has its old place, before who came later."""
    at_hand, following = one_at_hand_and_one_ahead(lab, ENDLESS)
    lab.runner.kill()
    later = lab.push(SHORT, SOON)
    lab.restart_runner()
    assert lab.until(at_hand, "completed")["conclusion"] == "neutral"
    jobs = [lab.until(number, "completed") for number in (following, later)]
    assert [job["conclusion"] for job in jobs] == ["success", "success"]
    assert jobs[0]["started_at"] < jobs[1]["started_at"]
    assert position(lab, following, "running") < position(lab, later, "claimed")
    assert (lab.sessions(at_hand), lab.sessions(following)) == (1, 1)


def test_cancelled_while_it_waits(lab: Lab, scene: tuple[str, str]) -> None:
    at_hand, following = scene
    lab.cancel(following)
    assert lab.until(following, "completed")["conclusion"] == "cancelled"
    assert lab.until(at_hand, "completed")["conclusion"] == "success"
    assert position(lab, following, "finished") < position(lab, at_hand, "finished")
    assert lab.sessions(following) == 0


def test_its_lease_is_lost_while_it_waits(lab: Lab, scene: tuple[str, str]) -> None:
    """The runner is stopped for longer than a lease: both are lost, one for good until it is amended."""
    at_hand, following = scene
    lab.runner.signal(signal.SIGSTOP)
    assert lab.until(at_hand, "completed")["conclusion"] == "neutral"
    lab.until(following, "queued")
    lab.runner.signal(signal.SIGCONT)
    assert lab.until(following, "completed")["conclusion"] == "success"
    wait_until(lambda: lab.job(at_hand)["conclusion"] == "success", 30, "the amendment")
    assert (lab.sessions(at_hand), lab.sessions(following)) == (1, 1)
