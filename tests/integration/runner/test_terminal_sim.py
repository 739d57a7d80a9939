"""`raas sim` on a terminal of its own: what is seen, what keys do, and how the terminal is left."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Terminal

from demo.processes import script
from hardware.passport import Passport

RAAS_SIM = [script("raas"), "sim"]


def left_as_it_was(seen: Terminal) -> bool:
    return seen.modes == seen.modes_before and not seen.elsewhere and not seen.cursor_hidden


def value(seen: Terminal, name: str) -> float:
    found = re.findall(rf"{name} +([-+]?\d+\.\d+)", seen.text)
    return float(found[-1]) if found else 0.0


@pytest.mark.parametrize(("columns", "rows"), [(40, 15), (80, 24), (200, 50)])
def test_it_draws_in_every_size_and_q_ends_it(columns: int, rows: int) -> None:
    with Terminal([*RAAS_SIM, "--controller", "energy"], columns=columns, rows=rows) as seen:
        seen.until(lambda: value(seen, "torque") != 0.0 and value(seen, "return") < -1.0)
        assert any("\u2801" <= letter <= "\u28ff" for letter in seen.text)
        assert "θ" in seen.text
        assert "rad/s" in seen.text
        assert seen.elsewhere
        assert seen.cursor_hidden
        seen.type("q")
        assert seen.wait() == 0
        assert "upright for" in " ".join(seen.text.split())
        assert left_as_it_was(seen)


def test_arrow_keys_push_and_r_begins_again() -> None:
    with Terminal(RAAS_SIM) as seen:
        seen.until("← → push")
        seen.until(lambda: seen.type("\x1b[D") is None and value(seen, "torque") == 2.0)
        seen.until(lambda: seen.type("\x1b[C") is None and value(seen, "torque") == -2.0)
        seen.until(lambda: value(seen, "torque") == 0.0)  # let go
        seen.until(lambda: value(seen, "t") > 0.3)
        before = value(seen, "return")
        seen.type("r")
        seen.until(lambda: value(seen, "return") > before)
        seen.type("q")
        assert seen.wait() == 0
        assert left_as_it_was(seen)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_leave_the_terminal_as_it_was(number: signal.Signals, status: int) -> None:
    with Terminal([*RAAS_SIM, "--random"]) as seen:
        seen.until(lambda: seen.elsewhere and seen.modes != seen.modes_before and "q ends" in seen.text)
        seen.signal(number)
        assert seen.wait() == status
        assert left_as_it_was(seen)
        assert "Traceback" not in seen.text


def test_a_program_that_fails_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    program = tmp_path / "mine.py"
    program.write_text(
        "count = 0\ndef policy(seen):\n    global count\n    count += 1\n    return 1 / (5 - count)\n"
    )
    with Terminal([*RAAS_SIM, "--controller", str(program)], columns=200) as seen:
        assert seen.wait() == 2
        assert f"error: policy in {program} failed (ZeroDivisionError: division by zero)" in seen.text
        assert left_as_it_was(seen)


def test_without_colour(tmp_path: Path) -> None:
    command = [*RAAS_SIM, "--controller", "energy", "--seconds", "0.5"]
    with Terminal(command, environment={"NO_COLOR": "1"}) as seen:
        assert seen.wait() == 0
        assert not re.search(rb"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", seen.raw)
        assert b"\xe2\xa0" in seen.raw or b"\xe2\xa1" in seen.raw


def test_a_passport_s_pendulum(tmp_path: Path) -> None:
    place = tmp_path / "current.json"
    place.write_text(json.dumps(Passport(version="1").model_dump()))
    command = [*RAAS_SIM, "--params", str(place), "--controller", "energy", "--seconds", "0.3"]
    with Terminal(command, columns=200) as seen:
        assert seen.wait() == 0, seen.text


def sim(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    changed = {"SDL_VIDEODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1", **environment}
    return subprocess.run(
        [*RAAS_SIM, *arguments],
        env={"PATH": str(Path(sys.executable).parent), **changed},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_window() -> None:
    done = sim("--window", "--controller", "energy", "--seconds", "0.5")
    assert done.returncode == 0, done.stderr
    assert "return" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is none here"),
        (("--window", "--random", "--controller", "energy"), "exclude each other"),
        (("--window", "--controller", "missing.py"), "neither `energy` nor a Python file"),
        (("--window", "--params", "missing.json"), "neither ideal, measured, raw_motor nor a passport"),
        (("--window", "--params", "/dev/null"), "is no passport"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    done = sim(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_display_it_says_so() -> None:
    done = sim("--window", "--random", SDL_VIDEODRIVER="nonesuch")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no window can be opened here")
