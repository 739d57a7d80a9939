"""The pins' conformance suite over RPi.GPIO and rpi-lgpio, in an emulated Raspberry Pi (`make test-pi`)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "pi" / "run.sh"


@pytest.mark.timeout(400)
def test_real_gpio_code_in_an_emulated_raspberry_pi() -> None:
    done = subprocess.run([RUN], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the header's is 0" in done.stdout, "the chip is found by its label"
    for library in ("RPi.GPIO", "rpi-lgpio"):
        assert f"PI PASSED over {library}, 0 failed" in done.stdout
    assert re.search(r"\d+ edges/s through evdev without loss", done.stdout)
