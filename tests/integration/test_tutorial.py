"""The tutorial does what it says: its programs are saved and its commands run, in the page's order."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def environment() -> dict[str, str]:
    """This interpreter's commands first. pip only says what it would do: the tests' packages must stay."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pip = {"PIP_DRY_RUN": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if importlib.util.find_spec("setuptools"):
        pip["PIP_NO_BUILD_ISOLATION"] = "0"  # pip's way of saying that isolation is off: no network needed
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **pip}


def run(command: str, directory: Path) -> str:
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.timeout(600)
def test_every_program_and_command_of_the_tutorial(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} == {"sh", "python"}
    printed = {}
    for language, text in blocks:
        if language == "sh":
            printed[text.strip()] = run(text, ROOT if "pip install" in text else tmp_path)
        else:
            name = re.match(r"# (\w+\.py)\n", text)
            assert name, f"a program says in its first line which file it is:\n{text}"
            (tmp_path / name[1]).write_text(text, encoding="utf-8")
    assert "Would install raas-gym" in printed['pip install ".[plot]"']
    nominal, randomised, _ = printed["python evaluate.py"].splitlines()
    assert share(nominal) > 50
    assert share(randomised) > 50
    assert (tmp_path / "run.png").stat().st_size > 10_000
    assert "swing-up after" in printed["python plot.py"]
    assert float(printed["python run.py"].split()[-1]) > -1000


def share(line: str) -> int:
    """The percentage of time upright in a line of evaluate.py."""
    found = re.search(r"upright (\d+) %", line)
    assert found, line
    return int(found[1])


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
