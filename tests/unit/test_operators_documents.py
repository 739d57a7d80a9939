"""What the security pages and the runbook name is there: tests, commands, settings, figures, tables."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from github_app import cli as server_cli
from hardware import cli as controller_cli
from runner import cli as runner_cli

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def named_tests(page: str) -> list[tuple[list[str], str]]:
    """Files and test (or "") of each name in backquotes; `…` stands for a file that the page named before."""
    found: list[tuple[list[str], str]] = []
    files: list[str] = []
    for path, test in re.findall(r"`([\w/]+\.py|…|)(::\w+)?`", (DOCS / page).read_text()):
        if path.startswith(("unit/", "integration/", "contract/", "e2e/", "hostile/", "chaos/")):
            files.append(path)
            found.append(([path], test.removeprefix("::")))
        elif test:
            found.append((list(files), test.removeprefix("::")))
    return found


@pytest.mark.parametrize("page", ["threat-model.md", "security.md"])
def test_every_test_that_proves_something_exists(page: str) -> None:
    names = named_tests(page)
    assert len(names) > 20
    for files, test in names:
        paths = [ROOT / "tests" / file for file in files]
        assert all(path.is_file() for path in paths), f"{page} names {files}"
        known = any(f"def {test}(" in path.read_text() for path in paths)
        assert not test or known, f"{page} names {test} of {files}"


def test_every_threat_has_a_control_and_a_test() -> None:
    text = (DOCS / "threat-model.md").read_text().partition("## Threats")[2].partition("## What is left")[0]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    threats = [row for row in rows if not row[0].startswith("| threat")]
    assert len(threats) >= 25
    for row in threats:
        assert len(row) == 3, row
        assert "`" in row[2], row


@pytest.mark.parametrize("page", ["runbook.md", "operators.md"])
def test_every_command_exists(page: str) -> None:
    text = (DOCS / page).read_text()
    commands = re.findall(r"(raas-(?:server|runner|controller))((?: [a-z][a-z-]+\b)*)", text)
    assert len(commands) > 10
    for program, words in commands:
        command: click.Command = {
            "raas-server": server_cli.main,
            "raas-runner": runner_cli.raas_runner,
            "raas-controller": controller_cli.main,
        }[program]
        for word in words.split():
            if not isinstance(command, click.Group):
                break  # an argument
            found = command.commands.get(word)
            assert found is not None, f"{page}: {program}{words}"
            command = found


def test_the_runbook_names_settings_and_figures_that_there_are() -> None:
    text = (DOCS / "runbook.md").read_text()
    sources = "\n".join(path.read_text() for path in (ROOT / "github_app").glob("*.py"))
    for name in set(re.findall(r"\bRAAS_[A-Z_0-9]+\b", text)):
        assert f'"{name}"' in sources, name
    for name in set(re.findall(r"\braas_[a-z_]+\b", text)):
        assert f'"{name}"' in sources, name
