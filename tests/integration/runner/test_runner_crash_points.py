"""The runner killed with -9 between any two steps of its work: started again, it concludes what it held."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import requests
from dying import Command, Place
from runner_lab import PATIENT, STEPPING, Lab, running_lab

from demo.processes import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

LARGE = 300_000
PROGRAM = f"""\
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
for number in range(4):
    env.step([1.0])
    print("step", number)
open("/artifacts/one.bin", "wb").write(b"1" * {LARGE})
open("/artifacts/two.bin", "wb").write(b"2" * {LARGE})
env.close()
"""
FILES = ["artifacts/one.bin", "artifacts/two.bin", "log.txt", "trajectory.csv", "trajectory.npz"]

CLAIMED = Place("runner.client:Client.claim", "after", answered=True)
COLLECTING = Place("runner.artifacts:shutil.copyfileobj", "torn", 2)
UPLOADING = Place("runner.client:Client.put", "before", 3)
FINISHED = Place("runner.client:Client.finish", "after")

STILL = {
    "claim answered": CLAIMED,
    "claim noted": Place("runner.held:Store.renew_key"),
    "source fetched": Place("runner.client:Client.source", "after"),
    "source unpacked": Place("runner.workspace:unpack", "after"),
    "volume made": Place("runner.sandbox:Engine.create_volume", "after"),
    "prepared": Place("runner.attempt:Attempt.prepare", "after"),
    "about to ask": Place("runner.client:Client.running"),
}
"""Before the robot may move: somebody runs the job, from its beginning."""

UNMOVED = {
    "running acknowledged": Place("runner.client:Client.running", "after"),
    "session asked for": Place("raas_gym.control:ControlClient.open"),
}
"""The robot might have moved and did not, as the controller knows: concluded, never run again."""

MOVED = {
    "session opened": Place("raas_gym.control:ControlClient.open", "after"),
    "container made": Place("runner.sandbox:Engine.create", "after"),
    "container started": Place("runner.sandbox:Job.start", "after"),
}
"""The program was cut off: nobody can tell how it would have ended."""

OVER = {
    "container ended": Place("runner.sandbox:Job.wait", "after"),
    "end noted": Place("runner.sandbox:Job.remove"),
    "container removed": Place("runner.sandbox:Job.remove", "after"),
    "session closed": Place("raas_gym.control:ControlClient.close", "after"),
    "recording copied": Place("runner.artifacts:copy_recorded", "after"),
    "collecting results": COLLECTING,
    "results collected": Place("runner.motion:wrap_up", "after"),
    "last words noted": Place("runner.motion:Motion.forget"),
    "recording forgotten": Place("runner.motion:Motion.forget", "after"),
    "files offered": Place("runner.client:Client.offer", "after"),
    "uploading": UPLOADING,
    "file uploaded": Place("runner.client:Client.put", "after", 2),
    "file confirmed": Place("runner.client:Client.stored", "after"),
    "files uploaded": Place("runner.client:Client.finish"),
    "finished": FINISHED,
    "cleaning": Place("runner.held:remove"),
}
"""The program had ended: its real conclusion, with everything it left."""

TWICE = {
    "recovery judged it": (COLLECTING, Place("runner.recovery:wrap_up", "after")),
    "recovery ended": (COLLECTING, Place("runner.client:Client.offer")),
    "recovery uploads": (UPLOADING, Place("runner.client:Client.put", "after")),
    "recovery finished": (UPLOADING, FINISHED),
}
"""And killed again while it concludes what it held."""

IN_SUITE = {
    "claim noted",
    "about to ask",
    "running acknowledged",
    "session opened",
    "container ended",
    "collecting results",
    "uploading",
    "finished",
    "recovery uploads",
}
"""Those in which something was wrong once, or nearly; the others run with `make crash`."""


def points(places: dict[str, Any]) -> list[Any]:
    """The places, each under its name."""
    return [
        pytest.param(place, id=name, marks=() if name in IN_SUITE else pytest.mark.crash)
        for name, place in places.items()
    ]


class Runners:
    """The runner of a stack, started and killed as often as a test wants."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        log = lab.stack.data / "logs" / "runner.log"
        self._command = Command("runner.cli:raas_runner", ("run",), lab.stack.runner_environment(), log)
        self._process: ForkServerProcess | None = None

    def start(self) -> None:
        self._process = self._command.start()

    def dies(self, place: Place) -> None:
        self._command.dies(place)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(10)


@pytest.fixture(scope="module")
def running(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runners]:
    with running_lab(tmp_path_factory.mktemp("crash") / "lab", PATIENT) as lab:
        lab.runner.kill()
        yield Runners(lab)


@pytest.fixture
def runners(running: Runners) -> Iterator[Runners]:
    yield running
    running.kill()


def after_deaths(runners: Runners, *places: Place, sessions: int = 1, program: str = PROGRAM) -> str:
    """A job whose runner died at each of the places in turn; concluded, and nothing of it left."""
    lab = runners.lab
    number = lab.push(program)
    lab.ask_for(number, sessions)
    for place in places:
        runners.dies(place)
    runners.start()
    lab.until(number, "completed")
    wait_until(lambda: lab.left_behind() == [] and recordings(lab) == [], 20, "nothing to be left")
    return number


def recordings(lab: Lab) -> list[Path]:
    """What the controller still keeps, and what uploads left at the server."""
    controller, server = lab.stack.data / "controller", lab.stack.data / "server"
    return [*(controller / "results").iterdir(), *server.rglob("*.part*")]


def whole(lab: Lab, number: str) -> None:
    """Every file and line of a job is there, once."""
    assert lab.names(number) == FILES
    assert lab.artifact(number, "artifacts/one.bin") == b"1" * LARGE
    assert lab.artifact(number, "artifacts/two.bin") == b"2" * LARGE
    log = lab.artifact(number, "log.txt")
    assert [line for line in log.decode().splitlines() if line.startswith("step")] == [
        f"step {step}" for step in range(4)
    ]
    shown = requests.get(f"{lab.stack.url}/jobs/{number}/log", timeout=10).content
    assert shown == log


@pytest.mark.parametrize("place", points(STILL))
def test_killed_before_the_robot_may_move(runners: Runners, place: Place) -> None:
    number = after_deaths(runners, place)
    lab = runners.lab
    assert lab.job(number)["conclusion"] == "success"
    assert lab.sessions(number) == 1
    assert "lost" not in " ".join(lab.events(number))
    whole(lab, number)


@pytest.mark.parametrize("place", points(UNMOVED))
def test_killed_when_the_robot_was_about_to_move(runners: Runners, place: Place) -> None:
    number = after_deaths(runners, place)
    job = runners.lab.job(number)
    assert job["conclusion"] == "neutral"
    assert "did not move" in job["reason"]
    assert runners.lab.sessions(number) == 0
    assert runners.lab.events(number) == ["queued", "claimed", "running", "finished"]


@pytest.mark.parametrize("place", points(MOVED))
def test_killed_during_the_session(runners: Runners, place: Place) -> None:
    number = after_deaths(runners, place, program=STEPPING.format(steps=1000))
    job = runners.lab.job(number)
    assert job["conclusion"] == "neutral"
    assert "restarted" in job["reason"]
    assert runners.lab.sessions(number) == 1
    assert runners.lab.events(number) == ["queued", "claimed", "running", "finished"]


@pytest.mark.parametrize("place", points(OVER))
def test_killed_after_the_program_ended(runners: Runners, place: Place) -> None:
    real_conclusion(runners, after_deaths(runners, place))


@pytest.mark.parametrize("places", points(TWICE))
def test_killed_again_while_it_recovers(runners: Runners, places: tuple[Place, Place]) -> None:
    real_conclusion(runners, after_deaths(runners, *places))


@pytest.mark.crash
@pytest.mark.parametrize(
    ("place", "conclusion", "sessions"),
    [
        pytest.param(Place("raas_gym.control:ControlClient.open", number=2), "neutral", 1, id="between them"),
        pytest.param(Place("runner.sandbox:Job.wait", "after", 2), "success", 2, id="after the last"),
    ],
)
def test_killed_in_a_job_of_two_sessions(
    runners: Runners, place: Place, conclusion: str, sessions: int
) -> None:
    """A session that nobody began is not made up for: the job is concluded from those that were."""
    lab = runners.lab
    number = after_deaths(runners, place, sessions=2)
    assert lab.job(number)["conclusion"] == conclusion
    assert lab.sessions(number) == sessions
    assert {f"session-{one}/trajectory.csv" for one in range(sessions)} <= set(lab.names(number))


def real_conclusion(runners: Runners, number: str) -> None:
    lab = runners.lab
    assert lab.job(number)["conclusion"] == "success"
    assert lab.sessions(number) == 1
    assert lab.events(number) == ["queued", "claimed", "running", "finished"]
    whole(lab, number)
