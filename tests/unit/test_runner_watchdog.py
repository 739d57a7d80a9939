"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.watchdog import Watchdog


class Systemd:
    """Hears what is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(str(path))
        self.line.settimeout(30)

    def hear(self) -> str:
        return self.line.recv(4096).decode()

    def heard_all(self) -> list[str]:
        self.line.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.line.recv(4096).decode())
        except BlockingIOError:
            return found

    def environ(self, period_s: float | None = None) -> dict[str, str]:
        watched = {} if period_s is None else {"WATCHDOG_USEC": str(int(period_s * 1e6))}
        return {"NOTIFY_SOCKET": str(self.path), **watched}

    def close(self) -> None:
        self.line.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory(prefix="raas-") as folder:  # a socket's path must be short
        found = Systemd(Path(folder) / "notify")
        yield found
        found.close()


def test_ready_pings_and_stopping(systemd: Systemd) -> None:
    with Watchdog(systemd.environ(0.03)).watching(time.monotonic):
        assert [systemd.hear() for _ in range(4)] == ["READY=1", *["WATCHDOG=1"] * 3]
    while (heard := systemd.hear()) == "WATCHDOG=1":
        pass
    assert heard == "STOPPING=1"


def test_a_loop_that_hangs_is_not_pinged_for_until_it_moves_on(systemd: Systemd) -> None:
    moved_at = time.monotonic() - 100.0
    moved = threading.Event()

    def last_moved() -> float:
        return time.monotonic() if moved.is_set() else moved_at

    with Watchdog(systemd.environ(0.03)).watching(last_moved, stuck_s=50.0):
        assert systemd.hear() == "READY=1"
        systemd.line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            systemd.hear()
        systemd.line.settimeout(30)
        moved.set()
        assert systemd.hear() == "WATCHDOG=1"


def test_nobody_watches(systemd: Systemd) -> None:
    with Watchdog(systemd.environ()).watching(time.monotonic):
        pass
    assert systemd.heard_all() == ["READY=1", "STOPPING=1"]


def test_a_watch_over_another_process_is_not_ours(systemd: Systemd) -> None:
    environ = systemd.environ(0.03) | {"WATCHDOG_PID": str(os.getpid() + 1)}
    with Watchdog(environ).watching(time.monotonic):
        pass
    assert systemd.heard_all() == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "x"}])
def test_without_systemd_nothing_happens(environ: dict[str, str]) -> None:
    with Watchdog(environ).watching(time.monotonic):
        pass


def test_the_abstract_namespace() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0raas-test-notify")
        Watchdog({"NOTIFY_SOCKET": "@raas-test-notify"}).tell("READY=1")
        assert heard.recv(100) == b"READY=1"
