"""A `raas-controller` as a process of its own, started, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raas_gym.control import ControlClient, ControlError, SessionOpened, SessionRequest

COMMAND = str(Path(sys.executable).with_name("raas-controller"))


class Daemon:
    """One controller process; may be killed and started again on the same data."""

    def __init__(self, home: Path, *arguments: str, **popen: Any) -> None:
        self.home = home
        self.socket = home / "c.sock"
        self.client = ControlClient(str(self.socket))
        self._arguments = arguments
        self.start(**popen)

    def start(self, **popen: Any) -> None:
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True, **popen)
        until(self.answers)

    def command(self) -> list[str]:
        return [*self.command_in(self.home), *self._arguments]

    @staticmethod
    def command_in(home: Path) -> list[str]:
        return [
            *(COMMAND, "serve", "--name", "goose", "--data-dir", str(home / "data")),
            *("--plant", "simulated", "--socket", str(home / "c.sock")),
        ]

    def answers(self) -> bool:
        assert self.process.poll() is None, "the controller died"
        try:
            return self.client.status().robot == "goose"
        except ControlError:
            return False

    def open(self, job: int = 1, attempt: int = 1, number: int = 0, **more: Any) -> SessionOpened:
        request = {"env_id": "RaasPendulum-v1", "timeout_s": 60.0, "client_uid": os.getuid(), **more}
        return self.client.open(SessionRequest(job, attempt, number, **request))

    def kill(self) -> str:
        """kill -9; what it had logged."""
        return self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Signal it, wait for its end; what it had logged."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=20)[1]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition; fail loudly."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
