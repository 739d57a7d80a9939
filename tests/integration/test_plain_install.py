"""`pip install raas-gym` alone, into an environment of its own, with the NumPy of programs of 2020."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from needs import need
from test_gym_classic import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"
COMMANDS = {
    "raas": "raas-gym[cli]",
    "raas-runner": "raas-gym[runner]",
    "raas-controller": "raas-gym[hardware]",
    "raas-server": "raas-gym[server]",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environment's programs."""
    need(UV.exists(), "uv", "run tools/bootstrap.sh python")
    # A copy, as a build leaves its files beside what it builds.
    source, folder = tmp_path_factory.mktemp("plain") / "source", tmp_path_factory.mktemp("venv")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    for room in ("raas_gym", "gym_raas", "hardware", "runner", "github_app"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    _uv("venv", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--python", str(folder / "bin" / "python"), str(source), "numpy<2")
    return folder / "bin"


def _uv(*arguments: str) -> str:
    done = subprocess.run([UV, "--quiet", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_needs_numpy_and_gymnasium_alone(plain: Path) -> None:
    listed = _uv("pip", "list", "--python", str(plain / "python"), "--format", "freeze")
    names = {line.partition("==")[0].partition(" @ ")[0].lower() for line in listed.splitlines()}
    assert names == {
        "raas-gym", "numpy", "gymnasium", "cloudpickle", "farama-notifications", "typing-extensions"
    }  # fmt: skip


@pytest.mark.parametrize(("command", "extra"), COMMANDS.items())
def test_a_command_says_what_it_lacks(plain: Path, command: str, extra: str) -> None:
    done = subprocess.run([plain / command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{command}: ")
    assert done.stderr.endswith(f" is missing: pip install '{extra}'\n")
    assert done.stdout == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_for_gym_run_with_numpy_1(plain: Path, tmp_path: Path, program: str) -> None:
    python = str(plain / "python")
    _uv("pip", "install", "--python", python, "gym==0.26.2", "numpy<2")
    check = "import numpy, gym_raas; assert numpy.__version__.startswith('1.')\n"
    done = subprocess.run(
        [python, "-c", check + PROGRAMS[program]],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "venv" in subprocess.check_output(
        [python, "-c", "import raas_gym; print(raas_gym.__file__)"], text=True, cwd=tmp_path
    )
