"""`raas run` as a person starts it: a process, a real Docker engine, a simulated robot in real time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from package_server import serving, wheel

from demo.processes import script, wait_until
from raas_gym.control import ControlClient, ControlError
from raas_gym.trajectory import load
from runner.sandbox import JOB_LABEL, OWNER_LABEL

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120), pytest.mark.usefixtures("image")]

STEPPING = """\
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
print("begun", flush=True)
for number in range({steps}):
    env.step([1.0])
open("/artifacts/mine.txt", "w").write("mine")
env.close()
"""


@dataclass
class Repository:
    """A repository, and runs of it."""

    folder: Path
    state: Path

    @property
    def out(self) -> Path:
        return self.folder.parent / "out"

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [script("raas"), "run", str(self.folder), "--out", str(self.out), *options],
            env={**os.environ, "XDG_STATE_HOME": str(self.state)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *options: str, status: int = 0) -> str:
        with self.start(*options) as process:
            output, errors = process.communicate()
        assert process.returncode == status, output + errors
        return output if not status else output + errors

    def answer(self, *options: str, status: int = 0) -> dict[str, Any]:
        with self.start("--json", *options) as process:
            output, errors = process.communicate()
        assert process.returncode == status, output + errors
        return dict(json.loads(output))

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.out)) for path in self.out.rglob("*") if path.is_file())

    def owner(self) -> str:
        (place,) = self.state.glob("raas/local-runs/run-*/owner")
        return place.read_text()


def _in_docker(owner: str) -> list[str]:
    label = f"label={OWNER_LABEL}={owner}"
    command = ["docker", "ps", "-a", "-q", "--filter", label]
    volumes = ["docker", "volume", "ls", "-q", "--filter", label]
    return [
        name
        for one in (command, volumes)
        for name in subprocess.run(one, capture_output=True, text=True, check=True).stdout.split()
    ]


def _answers(socket: Path) -> bool:
    try:
        ControlClient(str(socket), timeout_s=5.0).status()
    except ControlError:
        return False
    return True


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    made = Repository(tmp_path / "spoon", tmp_path / "state")
    made.folder.mkdir()
    yield made
    assert list(made.state.glob("raas/local-runs/run-*")) == []


def test_the_starter_repository_balances(repository: Repository) -> None:
    shutil.rmtree(repository.folder)
    subprocess.run([script("raas"), "init", str(repository.folder)], check=True, capture_output=True)
    subprocess.run([script("raas"), "check", str(repository.folder)], check=True, capture_output=True)
    output = repository.run()
    assert "success: Balanced 1" in output
    assert "of 20 s: return -" in output
    assert repository.names() == ["artifacts/result.txt", "log.txt", "trajectory.csv", "trajectory.npz"]
    trajectory = load(repository.out / "trajectory.npz")
    assert (len(trajectory), trajectory.header.simulated) == (400, True)


def test_several_sessions_come_with_mean_and_spread(repository: Repository) -> None:
    repository.write({"run.py": STEPPING.format(steps=10)})
    result = repository.answer("-n", "2")
    assert [session["number"] for session in result["sessions"]] == [0, 1]
    score = result["scores"]["episode_return"]
    assert len(score["values"]) == 2
    assert score["mean"] == pytest.approx(sum(score["values"]) / 2)
    assert score["stdev"] is not None
    assert "session-1/trajectory.csv" in repository.names()


def test_a_crash_is_a_failure_and_shows_the_line(repository: Repository) -> None:
    repository.write({"run.py": STEPPING.format(steps=3) + "1 / 0\n"})
    output = repository.run(status=1)
    assert "failure: The program crashed: ZeroDivisionError: division by zero (run.py line 10)" in output
    assert "run.py:10:" in output


def test_an_unmet_requirement_is_a_failure(repository: Repository) -> None:
    repository.write({"run.py": STEPPING.format(steps=3), ".raas.yml": "require: {upright: 0.5}\n"})
    assert "`upright` is 0, required is at least 0.5" in repository.run(status=1)


def test_a_failed_precheck_opens_no_session(repository: Repository) -> None:
    repository.write({"run.py": "raise SystemExit(3)\n", ".raas.yml": "precheck: simulation\n"})
    assert repository.answer(status=1)["sessions"] == []
    assert "precheck" in (repository.out / "log.txt").read_text()


def test_the_time_limit_has_its_own_status(repository: Repository) -> None:
    repository.write({"run.py": STEPPING.format(steps=10**6)})
    assert "timed_out: " in repository.run("--timeout", "2", status=124)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand_it_still_concludes_and_keeps_its_data(
    repository: Repository, number: signal.Signals
) -> None:
    repository.write({"run.py": STEPPING.format(steps=10**6)})
    with repository.start() as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line == "begun\n")
        owner = repository.owner()
        process.send_signal(number)
        output, _ = process.communicate()
    assert process.returncode == 130
    assert "cancelled: You stopped it" in output
    assert "trajectory.csv" in repository.names()
    assert _in_docker(owner) == []


def test_what_a_killed_run_left_is_removed_by_the_next(repository: Repository) -> None:
    repository.write({"run.py": STEPPING.format(steps=10**6)})
    with repository.start() as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line == "begun\n")
        owner = repository.owner()
        process.kill()
    assert _in_docker(owner) != []
    socket = Path(tempfile.gettempdir(), f"raas-run-{owner}", "control.sock")
    wait_until(lambda: not _answers(socket), 20, "the controller to end with its parent")
    repository.write({"run.py": STEPPING.format(steps=2)})
    repository.run()
    assert _in_docker(owner) == []
    assert not socket.parent.exists()


def test_two_runs_side_by_side_leave_each_other_alone(repository: Repository, tmp_path: Path) -> None:
    repository.write({"run.py": STEPPING.format(steps=60)})
    other = Repository(tmp_path / "other" / "fork", repository.state)
    shutil.copytree(repository.folder, other.folder)
    with repository.start() as first, other.start() as second:
        assert "success" in first.communicate()[0]
        assert "success" in second.communicate()[0]


def test_only_what_a_push_would_bring_is_there(repository: Repository) -> None:
    listing = "import os\nprint('files', sorted(os.listdir('.')))\n"
    repository.write({"run.py": listing, ".gitignore": "secret\n", "secret": "x", "new.txt": "not added yet"})
    subprocess.run(["git", "init", "-q", str(repository.folder)], check=True)
    (repository.folder / "raas-results").mkdir()
    (repository.folder / "raas-results" / "old.txt").touch()
    assert "files ['.gitignore', 'new.txt', 'run.py']" in repository.run(status=1)


def test_a_wrong_configuration_is_no_run(repository: Repository) -> None:
    repository.write({"run.py": "", ".raas.yml": "version: 1\ntimeuot: 3\n"})
    assert ".raas.yml:2: unknown key `timeuot`" in repository.run(status=2)
    assert not repository.out.exists()


def test_results_never_overwrite(repository: Repository) -> None:
    repository.write({"run.py": STEPPING.format(steps=1)})
    repository.out.mkdir()
    (repository.out / "mine.txt").touch()
    assert "name a new or empty folder" in repository.run(status=2)


def test_without_docker_it_says_what_to_do(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write({"run.py": ""})
    monkeypatch.setenv("DOCKER_HOST", f"unix://{repository.folder}/nothing.sock")
    assert "Docker is not installed or not running" in repository.run(status=2)


def test_the_container_is_the_runners_own(repository: Repository) -> None:
    """Its walls are those of every job: the same options, under a label of its own."""
    repository.write({"run.py": STEPPING.format(steps=10**6)})
    with repository.start() as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line == "begun\n")
        names = ["docker", "ps", "-q", "--filter", f"label={OWNER_LABEL}={repository.owner()}"]
        found = subprocess.run(names, capture_output=True, text=True, check=True).stdout.split()
        inspected = json.loads(
            subprocess.run(["docker", "inspect", *found], capture_output=True, check=True).stdout
        )
        process.send_signal(signal.SIGINT)
        process.communicate()
    (job,) = [one for one in inspected if not one["Name"].endswith("-keeper")]
    host = job["HostConfig"]
    assert job["Config"]["Labels"][JOB_LABEL] == "1-1"
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"]) == ("none", True, ["ALL"])
    assert host["PidsLimit"] == 256
    assert host["Memory"] == 1024 << 20


def test_requirements_are_installed_as_on_a_host(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as index:
        index.add(wheel("spoon", "1.2", {"spoon.py": b"SAYS = 'a spoon'\n"}))
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        monkeypatch.setenv("RAAS_CACHE_DIR", str(repository.folder.parent / "cache"))
        program = STEPPING.format(steps=3) + "import spoon\nprint(spoon.SAYS)\n"
        repository.write({"run.py": program, "requirements.txt": "spoon==1.2\nnumpy\n"})
        assert "\na spoon\n" in repository.run()
        shutil.rmtree(repository.out)
        repository.write({"requirements.txt": "numpy\nspoon==3\n"})
        told = repository.run(status=1)
    assert "No matching distribution found for spoon==3" in told
    assert "  requirements.txt:2: Not installed" in told
