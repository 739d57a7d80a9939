"""`raas-runner doctor`: a container really runs behind the walls, and what is missing is said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.processes import script
from demo.stack import Stack
from runner import settings
from runner.cli import raas_runner
from runner.settings import Settings

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120), pytest.mark.usefixtures("image")]


def _doctor(tmp_path: Path, data_dir: Path, **more: int) -> str:
    path = tmp_path / "runner.yml"
    chosen = Settings(server="http://127.0.0.1:9", name="goose", data_dir=data_dir, **more)
    settings.write(path, chosen, "token")
    done = CliRunner().invoke(raas_runner, ["--config", str(path), "doctor"], catch_exceptions=False)
    assert done.exit_code == 1
    return done.output


def test_all_is_well_beside_a_running_stack(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack")
    try:
        stack.start()
        command = [script("raas-runner"), "doctor"]
        done = subprocess.run(
            command, env=stack.runner_environment(), capture_output=True, text=True, check=False
        )
    finally:
        stack.stop()
    assert done.returncode == 0, done.stdout
    assert "ok   a container runs behind the walls of a job" in done.stdout
    assert not list((stack.data / "runner").glob("doctor-*"))


def test_a_data_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = _doctor(tmp_path, tmp_path / "file" / "data")
    assert f"FIX  {tmp_path}/file/data cannot be written" in output


def test_a_container_that_cannot_work_is_told(tmp_path: Path) -> None:
    output = _doctor(tmp_path, tmp_path / "data", cpus=1000)
    assert "FIX  no container runs behind the walls of a job: Docker refused" in output
