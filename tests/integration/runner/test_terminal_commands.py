"""What all commands of `raas` share: help with examples, JSON, exit statuses, completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from terminal import Terminal

from demo.processes import script
from raas_gym.trajectory import Header, Tick, TrajectoryWriter
from runner.cli import raas_runner
from runner.raas_cli import raas

COMMANDS = sorted(raas.commands)


def invoke(*arguments: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(raas, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_and_a_short_line(name: str) -> None:
    assert "Example" in invoke(name, "--help").output
    short = raas.commands[name].get_short_help_str(60)
    assert short
    assert "..." not in short


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"completion", "schema"}))
def test_exit_statuses_are_documented(name: str) -> None:
    assert "Exit status" in invoke(name, "--help").output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_option_is_status_2(name: str) -> None:
    assert "--nonesuch" in invoke(name, "--nonesuch", status=2).output


def test_check_as_json(tmp_path: Path) -> None:
    place = tmp_path / ".raas.yml"
    place.write_text("timeout: 60\nrun: python main.py\n")
    told = json.loads(invoke("check", tmp_path, "--json").output)
    assert (told["ok"], told["config"]["timeout"]) == (True, 60)
    place.write_text("timeout: 60\nimge: ml\n")
    told = json.loads(invoke("check", tmp_path, "--json", status=1).output)
    assert (told["ok"], told["line"], told["file"]) == (False, 2, str(place))
    assert "did you mean `image`?" in told["error"]


def test_export_as_json(tmp_path: Path) -> None:
    header = Header("RaasPendulum-v1", 0.05, 400, ("theta", "theta_dot"), ("action",))
    writer = TrajectoryWriter(tmp_path / "trajectory.traj", header)
    writer.append(Tick(0, 0.0, (3.1, 0.0), (1.0,), (1.0,), 0.0, -9.9, False, 0))
    writer.close()
    told = json.loads(invoke("export", tmp_path / "trajectory.traj", "--format", "csv", "--json").output)
    assert told == {"wrote": str(tmp_path / "trajectory.csv"), "format": "csv"}


def test_the_schema_is_json_with_and_without_the_option() -> None:
    assert json.loads(invoke("schema", "--json").output) == json.loads(invoke("schema").output)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(shell: str) -> None:
    output = CliRunner().invoke(raas, ["completion", shell], prog_name="raas").output
    assert "_RAAS_COMPLETE" in output
    found = shutil.which(shell)
    if found is not None:
        subprocess.run([found, "-n"], input=output, text=True, check=True)


def test_the_runner_s_completion_is_its_own() -> None:
    output = CliRunner().invoke(raas_runner, ["completion", "bash"], prog_name="raas-runner").output
    assert "_RAAS_RUNNER_COMPLETE" in output


def completed(folder: Path, words: str) -> list[str]:
    asked = {"_RAAS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [script("raas")], env={**os.environ, **asked}, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_commands_labels_and_files_are_completed(tmp_path: Path) -> None:
    (tmp_path / ".raas.yml").write_text("robot: [pendulum, goose]\n")
    assert completed(tmp_path, "raas wa") == ["plain,watch"]
    assert completed(tmp_path, "raas trigger --robot g") == ["plain,goose"]
    assert completed(tmp_path, "raas sim --params i") == ["plain,ideal"]
    assert completed(tmp_path, "raas sim --controller mine") == ["file,mine"]
    assert completed(tmp_path, "raas export tra") == ["file,tra"]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_fits_the_terminal(columns: int) -> None:
    with Terminal([script("raas"), "--help"], columns=columns) as seen:
        assert seen.wait() == 0
        assert "watch" in seen.text


def test_watch_without_a_repository_says_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    environment.pop("RAAS_SERVER", None)
    done = subprocess.run(
        [script("raas"), "watch", "7"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--server https://HOST" in done.stderr


def test_a_group_s_commands_are_all_here() -> None:
    assert isinstance(raas, click.Group)
    named = {"check", "completion", "export", "init", "run", "schema", "sim", "status", "trigger", "watch"}
    assert named == set(COMMANDS)
