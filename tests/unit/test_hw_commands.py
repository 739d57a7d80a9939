"""Every command that the documents and units of `hardware/` name exists, with the options they give it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import click
import pytest

from github_app.cli import main as raas_server
from hardware import cli as hardware_cli
from hardware.cli import main as raas_controller
from runner.cli import raas_runner

ROOT = Path(__file__).parents[2]
HARDWARE = ROOT / "hardware"
PROGRAMS: dict[str, click.Command] = {
    "raas-controller": raas_controller,
    "raas-runner": raas_runner,
    "raas-server": raas_server,
}
PAGES = sorted([HARDWARE / "README.md", *(HARDWARE / "docs").glob("*.md")])
UNITS = sorted([*(HARDWARE / "systemd").glob("*.service"), *(ROOT / "deploy" / "systemd").glob("*.service")])


def fragments(page: str) -> list[str]:
    """The code in a page: between backticks, and indented lines."""
    indented = re.findall(r"^    (\S.*)$", page, re.MULTILINE)
    return [*re.findall(r"`([^`\n]+)`", page), *indented]


def commands(code: list[str]) -> list[list[str]]:
    """Those of our programs, as words; whoever they are run as is left out."""
    found = []
    for fragment in code:
        for part in re.split(r"[;&|]+", fragment):
            words = re.sub(r"^\s*(sudo )?(-u \S+ )?(-H )?", "", part).split()
            if words and "…" not in words and words[0].rpartition("/")[2] in PROGRAMS:
                found.append([words[0].rpartition("/")[2], *words[1:]])
    return found


def fault_of(words: list[str]) -> str | None:
    """What is wrong with a command, or None."""
    command, rest = PROGRAMS[words[0]], words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        if found is None:
            return f"{' '.join(words)}: there is no {rest[0]!r}"
        command, rest = found, rest[1:]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [word for word in rest if word.startswith("--") and word.split("=")[0] not in known]
    return f"{' '.join(words)}: there is no {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_in_the_pages(page: Path) -> None:
    named = [words for words in commands(fragments(page.read_text(encoding="utf-8"))) if len(words) > 1]
    assert [fault for words in named if (fault := fault_of(words))] == []


def test_the_search_finds_commands() -> None:
    page = (HARDWARE / "docs" / "raspberry-pi.md").read_text(encoding="utf-8")
    found = [" ".join(words) for words in commands(fragments(page))]
    for expected in ("raas-controller selftest", "raas-runner drain", "raas-runner image build"):
        assert expected in found
    assert fault_of(["raas-controller", "dance"]) == "raas-controller dance: there is no 'dance'"
    assert (
        fault_of(["raas-controller", "serve", "--plan=x"])
        == "raas-controller serve --plan=x: there is no --plan=x"
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_commands_in_the_units(unit: Path) -> None:
    lines = re.findall(r"^Exec\w+=[+!-]*(\S.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    named = commands(lines)
    if unit.name.startswith(("raas-controller", "raas-guardian", "raas-runner")):
        assert named
    assert [fault for words in named if (fault := fault_of(words))] == []


def test_commands_in_the_softwares_own_advice() -> None:
    for module in HARDWARE.glob("*.py"):
        advice = re.findall(r"`(raas-[a-z]+ [^`\n{]+)`", module.read_text(encoding="utf-8"))
        assert [fault for words in commands(advice) if (fault := fault_of(words))] == [], module.name


def test_options_of_the_installer_and_programs_of_the_pages() -> None:
    usage = subprocess.run(
        [HARDWARE / "install.sh", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for page in PAGES:
        for fragment in fragments(page.read_text(encoding="utf-8")):
            if "install.sh" in fragment:
                for option in re.findall(r"--[a-z-]+", fragment.split("install.sh")[1].split(";")[0]):
                    assert option in usage, f"{page.name}: {fragment}"
            for module in re.findall(r"python -m ([a-z_.]+)", fragment):
                assert importlib.util.find_spec(module), f"{page.name}: {fragment}"


@pytest.mark.parametrize(
    ("host", "name"),
    [("Goose.lab.example", "goose"), ("3d-printer", "d-printer"), ("pi:4", "pi-4"), ("", "robot")],
)
def test_a_robot_is_called_after_its_host(monkeypatch: pytest.MonkeyPatch, host: str, name: str) -> None:
    monkeypatch.setattr("platform.node", lambda: host)
    assert isinstance(raas_controller, click.Group)
    serve = raas_controller.commands["serve"]
    with serve.make_context("serve", ["--plant", "simulated"]) as context:
        assert context.params["name"] == name
    assert hardware_cli.NAME.fullmatch(name)
