"""The runner as a process between a real server and a real controller: ended, drained, killed, cut off."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import libfaketime
import pytest
import requests
from runner_lab import FAST, STEPPING, Lab, running_lab

from demo.processes import script, wait_until
from runner.sandbox import Engine

FAKETIME = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("runner") / "lab", FAST) as lab:
        yield lab


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    running.ready()
    yield running
    running.tidy()


def test_a_job_comes_back_with_its_log_and_artifacts(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=5))
    job = lab.until(number, "completed")
    assert job["conclusion"] == "success"
    assert lab.names(number) == ["artifacts/mine.txt", "log.txt", "trajectory.csv", "trajectory.npz"]
    assert lab.artifact(number, "artifacts/mine.txt") == b"mine"
    assert b"step 4" in lab.artifact(number, "log.txt")
    assert lab.servers() == {lab.server_id()}


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


def test_a_host_asks_what_it_does_and_lets_it_drain(lab: Lab) -> None:
    def command(*words: str) -> tuple[int, str]:
        called = [script("raas-runner"), *words]
        done = subprocess.run(
            called, env=lab.stack.runner_environment(), capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    number = lab.push(STEPPING.format(steps=1000))
    lab.until(number, "running")
    status, said = command("status", "--json")
    told = json.loads(said)
    assert (status, told["process"]) == (0, lab.runner.pid)
    assert told["jobs"] == [{"id": int(number), "attempt": 1, "phase": "running"}]
    assert command("drain")[0] == 0
    wait_until(lambda: "draining" in lab.runner.tail(3), 10, "it to be told")
    lab.cancel(number)  # until then it would have gone on
    wait_until(lambda: not lab.runner.running, 30, "the runner to drain")
    assert lab.job(number)["conclusion"] == "cancelled"
    status, said = command("status")
    assert (status, "not running" in said) == (1, True)
    assert command("drain") == (1, "error: no runner is running here\n")


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


def test_killed_during_the_precheck_gives_the_job_back(lab: Lab) -> None:
    number = lab.push("import time\ntime.sleep(60)\n", {".raas.yml": "precheck: simulation\n"})
    wait_until(lambda: b"precheck in" in lab.log_of(number), 30, "the precheck")
    lab.runner.kill()
    lab.restart_runner()
    wait_until(lambda: lab.events(number)[2:4] == ["released", "claimed"], 60, "the second attempt")
    lab.cancel(number)
    assert lab.until(number, "completed")["conclusion"] == "cancelled"
    assert lab.sessions(number) == 0


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


@pytest.mark.parametrize(("offset", "steps"), [("-5h", 140), ("+5h", 5)], ids=["behind", "before"])
def test_a_clock_that_is_hours_off_costs_no_lease(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, offset: str, steps: int
) -> None:
    """The runner's wall clock and the server's differ; the first job takes longer than a lease."""
    lab.runner.stop()
    monkeypatch.setenv("LD_PRELOAD", str(FAKETIME))
    monkeypatch.setenv("FAKETIME", offset)
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    lab.restart_runner()
    monkeypatch.undo()
    number = lab.push(STEPPING.format(steps=steps))
    job = lab.until(number, "completed")
    assert job["conclusion"] == "success"
    assert lab.sessions(number) == 1
    first = datetime.fromisoformat(lab.runner.log.read_text().splitlines()[-1].partition(",")[0])
    assert abs(datetime.now() - first) > timedelta(hours=4)  # the log has local time
    lab.runner.stop()


def test_a_cancel_ends_the_run(lab: Lab) -> None:
    number = lab.push(STEPPING.format(steps=1000))
    lab.until(number, "running")
    lab.stepping(number)
    lab.cancel(number)
    assert lab.until(number, "completed", 20)["conclusion"] == "cancelled"
    assert "trajectory.csv" in lab.names(number)
