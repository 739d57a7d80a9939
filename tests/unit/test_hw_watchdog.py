"""Signs of life, with a socket in systemd's place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.watchdog import Watchdog

COMMAND = str(Path(sys.executable).with_name("raas-controller"))
GUARDIAN = ("guardian", "--pins", "simulated")
CONTROLLER = ("serve", "--plant", "simulated", "--name", "goose")


@pytest.mark.parametrize("command", [GUARDIAN, CONTROLLER], ids=["guardian", "controller"])
def test_a_living_process_says_so_and_a_stopped_one_does_not(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    where = ["--guardian", "g", "--levels", "levels"]
    where += ["--data-dir", "data", "--socket", "c"] if command is CONTROLLER else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30.0)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        process = subprocess.Popen(
            [COMMAND, *command, *where],
            cwd=tmp_path,
            env={**os.environ, **told},
            stderr=subprocess.DEVNULL,
        )
        try:
            assert systemd.recv(100) == b"READY=1"
            assert [systemd.recv(100) for _ in range(3)] == 3 * [b"WATCHDOG=1"]
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            systemd.setblocking(False)
            under_way = sum(1 for _ in iter(lambda: _heard(systemd), None))
            assert under_way < 100
            assert _heard(systemd) is None, "a stopped process adds nothing"
        finally:
            process.kill()
            process.wait()


def _heard(systemd: socket.socket) -> bytes | None:
    try:
        return systemd.recv(100)
    except BlockingIOError:
        return None


def test_without_a_service_manager_it_is_silent(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    for environment in ({}, {"WATCHDOG_USEC": "400000"}, {"NOTIFY_SOCKET": "@raas-nobody-listens-here"}):
        watchdog = Watchdog(environment)
        assert watchdog.period_s is None
        watchdog.ready()
        watchdog.feed()
    Watchdog({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1000000"}).feed()
    assert caplog.text.count("systemd does not listen at") == 2
