"""What may happen to a host: Docker goes away, the disk fills up, a job takes all the processor time."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from runner_lab import FAST, STEPPING, Lab, running_lab
from unix_line import Line

from demo.processes import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

DOCKER = "/var/run/docker.sock"
BURNING = """\
import os, time
for _ in range(8):
    if os.fork() == 0:
        end = time.time() + 9
        while time.time() < end:
            sum(range(10000))
        os._exit(0)
""" + STEPPING.format(steps=170)


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with tempfile.TemporaryDirectory(prefix="raas-") as folder:
        line = Line(Path(folder) / "docker.sock", DOCKER)
        yield line
        line.cut()


@pytest.fixture(scope="module")
def running(image: str, line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{line.path}")
        with running_lab(tmp_path_factory.mktemp("troubles") / "lab", FAST) as lab:
            patch.delenv("DOCKER_HOST")
            yield lab


def test_docker_goes_away_in_the_middle_and_comes_back(running: Lab, line: Line) -> None:
    number = running.push(STEPPING.format(steps=1000))
    running.until(number, "running")
    running.stepping(number)
    line.cut()
    job = running.until(number, "completed")
    assert job["conclusion"] == "neutral"
    assert "Docker" in job["reason"]
    waiting = running.push(STEPPING.format(steps=2))
    line.mend()
    assert running.until(waiting, "completed", 120)["conclusion"] == "success"
    assert running.runner.running
    running.tidy()


def test_a_job_that_burns_all_processor_time_does_not_stop_the_heartbeat(running: Lab) -> None:
    """It runs for longer than a lease, which only the heartbeat keeps."""
    number = running.push(BURNING)
    assert running.until(number, "completed", 120)["conclusion"] == "success"
    assert running.events(number) == ["queued", "claimed", "running", "finished"]
    running.tidy()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Callable[[bool], None]]:
    """`folder` on a disk of its own; the function fills it up, or makes room again."""
    aside = folder.with_name("aside")
    shutil.copytree(folder, aside)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mounting, check=False, capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("a small disk takes the right to mount: run as root, with CAP_SYS_ADMIN")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield lambda full: _fill(folder / "ballast", full)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(ballast: Path, full: bool) -> None:
    if not full:
        ballast.unlink()
        return
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * (1 << 20))
        except OSError:
            return


def test_a_full_disk_stops_no_run_and_takes_no_job(running: Lab) -> None:
    running.runner.stop()
    with small_disk(running.data, 215) as fill:
        running.restart_runner()
        number = running.push(STEPPING.format(steps=60))
        running.until(number, "running")
        running.stepping(number)
        fill(True)
        running.until(number, "completed")
        waiting = running.push(STEPPING.format(steps=2))
        wait_until(lambda: "nearly full" in running.robot_says(), 60, "the robot to say so")
        assert running.job(waiting)["step"] == "queued"
        assert running.runner.running
        fill(False)
        assert running.until(waiting, "completed", 120)["conclusion"] == "success"
        assert running.sessions(number) == 1
        running.tidy()
        running.runner.stop()
