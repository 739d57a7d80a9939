"""The runner as a process between a real server and a real controller: ended, drained, killed, cut off."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.processes import wait_until
from demo.stack import Stack
from github_app import queue
from github_app.db import Database
from runner.sandbox import Engine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

FAST = {"RAAS_LEASE_S": "6", "RAAS_HEARTBEAT_S": "0.5"}
STEPPING = """\
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
for number in range({steps}):
    env.step([1.0])
    print("step", number)
open("/artifacts/mine.txt", "w").write("mine")
env.close()
"""


class Lab:
    """A running stack and its jobs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._numbers = count()

    def push(self, code: str, more: dict[str, str] | None = None) -> str:
        name = f"ada/runner-{next(self._numbers)}"
        self.stack.world.user("ada")
        self.stack.world.repository(name)
        self.stack.world.install(self.stack.app.id, name)
        self.stack.world.push(name, {"run.py": code, **(more or {})}, user="ada")
        wait_until(lambda: self._newest(name) is not None, 20, "the job to be there")
        return str((self._newest(name) or {})["id"])

    def _newest(self, name: str) -> dict[str, Any] | None:
        jobs = requests.get(f"{self.stack.url}/api/v1/jobs", timeout=10).json()["jobs"]
        return next((job for job in jobs if job["repository"] == name), None)

    def job(self, number: str) -> dict[str, Any]:
        answer = requests.get(f"{self.stack.url}/api/v1/jobs/{number}", timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def until(self, number: str, status: str, timeout_s: float = 60) -> dict[str, Any]:
        wait_until(lambda: self.job(number)["step"] == status, timeout_s, f"job {number} to be {status}")
        return self.job(number)

    def sessions(self, number: str) -> int:
        ledger = (self.stack.data / "controller" / "ledger.jsonl").read_text().splitlines()
        return sum(f'"job":{number},' in line.replace(" ", "") for line in ledger)

    def artifact(self, number: str, name: str) -> bytes:
        found = next(a for a in self.job(number)["artifacts"] if a["name"] == name)
        return requests.get(found["url"], timeout=10).content

    def names(self, number: str) -> list[str]:
        return sorted(artifact["name"] for artifact in self.job(number)["artifacts"])

    @property
    def runner(self) -> Any:
        return self.stack.processes["runner"]

    @property
    def data(self) -> Path:
        return self.stack.data / "runner"

    def phase(self, phase: str) -> bool:
        return any(f'"phase":"{phase}"' in place.read_text() for place in self.data.glob("jobs/*/job.json"))

    def last_poll(self) -> str:
        """When the server last saw the runner ask for a job."""
        with closing(sqlite3.connect(self.stack.data / "server" / "raas.sqlite3")) as database:
            return str(database.execute("SELECT seen_at FROM runners").fetchone()[0])

    def stepping(self, number: str) -> None:
        """Wait until the program of the job has printed some steps."""
        (log,) = self.data.glob(f"jobs/{number}-*/log")
        wait_until(lambda: b"step 5" in log.read_bytes(), 20, "the program to step")

    def restart_runner(self) -> None:
        self.stack.start_runner()

    def left_behind(self) -> list[str]:
        owner = (self.data / "owner").read_text()
        found = []
        for what in ("ps -a", "volume ls"):
            command = ["docker", *what.split(), "-q", "--filter", f"label=raas.owner={owner}"]
            found += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return found + [str(place) for place in self.data.glob("jobs/*")]


@pytest.fixture(scope="module")
def running(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    stack = Stack(tmp_path_factory.mktemp("runner") / "lab", FAST)
    try:
        stack.start()
        yield Lab(stack)
    finally:
        stack.stop()


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    if not running.runner.running:
        running.restart_runner()
    if not running.stack.processes["server"].running:
        running.stack.start_server()
    yield running
    if running.runner.running:
        wait_until(lambda: running.left_behind() == [], 20, "the runner to leave nothing behind")


def test_a_job_comes_back_with_its_log_and_artifacts(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=5))
    job = lab.until(number, "completed")
    assert job["conclusion"] == "success"
    assert lab.names(number) == ["artifacts/mine.txt", "log.txt", "trajectory.csv", "trajectory.npz"]
    assert lab.artifact(number, "artifacts/mine.txt") == b"mine"
    assert b"step 4" in lab.artifact(number, "log.txt")


def test_a_long_log_arrives_whole_and_once(lab: Lab) -> None:
    number = lab.push("for number in range(30000):\n    print('line', number)\n" + STEPPING.format(steps=2))
    lab.until(number, "completed")
    log = lab.artifact(number, "log.txt").decode()
    wanted = [f"line {n}" for n in range(30000)]
    assert [line for line in log.splitlines() if line.startswith("line")] == wanted
    shown = requests.get(f"{lab.stack.url}/jobs/{number}/log", timeout=10).text
    assert [line for line in shown.splitlines() if line.startswith("line")] == wanted


def test_a_failed_precheck_never_moves_the_robot(lab: Lab) -> None:
    number = lab.push("raise SystemExit(3)\n", {".raas.yml": "precheck: simulation\n"})
    job = lab.until(number, "completed")
    assert job["conclusion"] == "failure"
    assert lab.sessions(number) == 0


def test_a_passed_precheck_is_followed_by_the_robot(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=3), {".raas.yml": "precheck: simulation\n"})
    assert lab.until(number, "completed")["conclusion"] == "success"
    assert lab.sessions(number) == 1


def test_sigterm_drains(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=60))
    lab.until(number, "running")
    lab.runner.signal(signal.SIGTERM)
    waiting = lab.push(STEPPING.format(steps=2))
    wait_until(lambda: not lab.runner.running, 30, "the runner to drain")
    assert lab.job(number)["conclusion"] == "success"
    assert lab.job(waiting)["step"] == "queued"
    assert lab.left_behind() == []
    lab.restart_runner()
    assert lab.until(waiting, "completed")["conclusion"] == "success"


def test_a_second_sigterm_stops_now_and_says_so(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=1000))
    lab.until(number, "running")
    lab.stepping(number)
    drains = lab.runner.log.read_text().count("draining")
    lab.runner.signal(signal.SIGTERM)
    # two signals at once would arrive as one
    wait_until(lambda: lab.runner.log.read_text().count("draining") > drains, 10, "the first to arrive")
    lab.runner.signal(signal.SIGTERM)
    wait_until(lambda: not lab.runner.running, 20, "the runner to stop")
    job = lab.job(number)
    assert job["conclusion"] == "neutral"
    assert lab.left_behind() == []


def test_killed_during_the_run_concludes_once_and_keeps_the_recording(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=1000))
    lab.until(number, "running")
    lab.stepping(number)
    lab.runner.kill()
    lab.restart_runner()
    job = lab.until(number, "completed")
    wait_until(lambda: "trajectory.csv" in lab.names(number), 20, "the recording")
    assert job["conclusion"] == "neutral"
    assert lab.sessions(number) == 1


def test_a_program_that_ended_while_the_runner_was_dead_is_judged_by_its_end(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=40))
    lab.until(number, "running")
    lab.stepping(number)
    lab.runner.kill()
    owner = (lab.data / "owner").read_text()
    engine = Engine()
    try:
        wait_until(lambda: engine.last_exit(owner, f"{number}-1") is not None, 20, "the program to end")
    finally:
        engine.close()
    lab.restart_runner()
    wait_until(lambda: lab.job(number)["conclusion"] == "success", 30, "the true conclusion")
    assert "artifacts/mine.txt" in lab.names(number)
    assert lab.sessions(number) == 1


def test_killed_while_preparing_gives_the_job_back(lab: Lab) -> None:
    lab.stack.world.fault(method="GET", path="/tarball", times=1, delay_s=4)
    number = lab.push(STEPPING.format(steps=2))
    lab.until(number, "claimed")
    wait_until(lambda: lab.phase("claimed"), 10, "the claim on disk")
    lab.runner.kill()
    assert lab.sessions(number) == 0
    lab.restart_runner()
    assert lab.until(number, "completed")["conclusion"] == "success"
    assert lab.sessions(number) == 1


def test_killed_between_the_claim_and_its_note_strands_nothing(lab: Lab) -> None:
    """The server answered the claim, and the runner died before it could write the job down."""
    lab.runner.stop()
    before = lab.last_poll()
    lab.restart_runner()
    wait_until(lambda: lab.last_poll() != before, 20, "the runner to poll")
    lab.runner.signal(signal.SIGSTOP)
    number = lab.push(STEPPING.format(steps=2))
    lab.until(number, "claimed")
    lab.runner.kill()
    lab.restart_runner()
    assert lab.until(number, "completed")["conclusion"] == "success"
    assert lab.sessions(number) == 1


@pytest.mark.parametrize("killed", [False, True], ids=["waits", "is killed too"])
def test_an_outage_of_the_server_costs_no_result(lab: Lab, killed: bool) -> None:
    number = lab.push(STEPPING.format(steps=40))
    lab.until(number, "running")
    lab.stepping(number)
    lab.stack.processes["server"].kill()
    wait_until(lambda: lab.phase("ended"), 30, "the run to end without its server")
    if killed:
        lab.runner.kill()
    lab.stack.start_server()
    if killed:
        lab.restart_runner()
    wait_until(lambda: lab.job(number)["conclusion"] == "success", 60, "the real conclusion")
    assert "artifacts/mine.txt" in lab.names(number)
    assert lab.sessions(number) == 1


def test_a_lost_lease_during_the_run_is_amended(lab: Lab) -> None:
    """The runner is cut off longer than its lease, by a stop, and finishes what it began."""
    number = lab.push(STEPPING.format(steps=150))
    lab.until(number, "running")
    lab.stepping(number)
    lab.runner.signal(signal.SIGSTOP)
    assert lab.until(number, "completed")["conclusion"] == "neutral"
    lab.runner.signal(signal.SIGCONT)
    wait_until(lambda: lab.job(number)["conclusion"] == "success", 30, "the amendment")
    assert lab.sessions(number) == 1


def test_a_controller_that_lost_its_clock_is_no_fault_of_the_program(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=1000))
    lab.until(number, "running")
    lab.stepping(number)
    controller = lab.stack.processes["controller"]
    controller.signal(signal.SIGSTOP)
    time.sleep(1.5)  # the trouble itself: longer than the host forgives
    controller.signal(signal.SIGCONT)
    job = lab.until(number, "completed")
    assert job["conclusion"] == "neutral"
    assert "behind its clock" in job["reason"]


def test_a_cancel_ends_the_run(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=1000))
    lab.until(number, "running")
    lab.stepping(number)
    database = Database(f"sqlite:///{lab.stack.data / 'server' / 'raas.sqlite3'}")
    with database.write() as session:
        queue.cancel(session, int(number), "ada cancelled it", by="ada")
    database.engine.dispose()
    assert lab.until(number, "completed", 20)["conclusion"] == "cancelled"
    assert "trajectory.csv" in lab.names(number)
