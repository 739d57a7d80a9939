"""`raas-controller doctor`: what the controller needs, checked one by one."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from hardware.control_server import ask
from hardware.errors import StartupError
from hardware.ledger import read_ledger
from hardware.pins import describe
from hardware.wires import wires_from
from raas_gym import control

ENOUGH_BYTES = 200 * 1024 * 1024
MODEL = Path("/proc/device-tree/model")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: whether it is good, and a sentence with the next step where it is not."""

    good: bool
    text: str


def examine(data: Path, socket: Path) -> list[Finding]:
    """Every check, in the order in which to mend what they find."""
    return [check_data(data), *check_controller(socket)]


def check_data(data: Path) -> Finding:
    """The data directory: there, writable, roomy, its ledger readable."""
    if not data.is_dir():
        return Finding(False, f"data directory {data} is missing: create it, or start `serve` once")
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        return Finding(False, f"data directory {data} is not ours to write: run as the controller's user")
    free = shutil.disk_usage(data).free
    if free < ENOUGH_BYTES:
        return Finding(
            False, f"only {free >> 20} MB are free in {data}: free at least {ENOUGH_BYTES >> 20} MB"
        )
    path = data / "ledger.jsonl"
    try:
        keys, _ = read_ledger(path.read_bytes() if path.exists() else b"", path)
    except StartupError as error:
        return Finding(False, str(error))
    return Finding(True, f"data directory {data}: {free >> 20} MB free, {len(keys)} sessions in the ledger")


def check_controller(socket: Path) -> list[Finding]:
    """The running controller: answers, healthy, no warnings."""
    try:
        status = control.ControlClient(str(socket), timeout_s=5.0).status()
        pins = str(ask(socket, {"op": "pins"}, timeout_s=5.0).get("pins", ""))
    except control.ControlError as error:
        return [Finding(False, str(error)), *check_machine(MODEL)]
    about = f"controller at {socket}: {status.robot} is {status.state}, {status.message}"
    return [
        Finding(status.state != "unhealthy", about),
        *([Finding(True, f"pins: {pins}")] if pins else []),
        *(Finding(False, text) for text in status.warnings),
    ]


def check_machine(model: Path) -> list[Finding]:
    """What a Raspberry Pi offers for pins, while no controller holds them; nothing on another machine.

    The wiring is that of this process's environment.
    """
    try:
        if "Raspberry Pi" not in model.read_text(encoding="ascii", errors="replace"):
            return []
        return [Finding(good, text) for good, text in describe(wires_from(os.environ))]
    except OSError:
        return []
    except StartupError as error:
        return [Finding(False, str(error))]
