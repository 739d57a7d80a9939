"""`raas-server serve` as a process of its own, started, killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

WEBHOOK_SECRET = "a webhook secret for tests"


class ServerProcess:
    """One server on a free port; the same settings at every start."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.with_name("server.log")
        values = {
            "DATA_DIR": str(data_dir),
            "OWNERS": "*",
            "BIND": f"127.0.0.1:{self.port}",
            "GITHUB_WEBHOOK_SECRET": WEBHOOK_SECRET,
            # Nobody listens there: deliveries stay undone, which is what some tests look at.
            "GITHUB_API_URL": "http://127.0.0.1:9",
        } | settings
        self.environment = os.environ | {f"RAAS_{name}": value for name, value in values.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True) -> subprocess.Popen[bytes]:
        """Start it, and wait until it can work."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "github_app.cli", "serve"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if ready:
            self.wait_ready()
        return self._process

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Wait until `/readyz` says so."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            assert self._process is not None
            ended = self._process.poll()
            assert ended is None, f"the server ended with {ended}: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.RequestException:
            return False

    def kill(self, whom: str = "all") -> None:
        """kill -9 of everything, of the `master` alone, or of the `worker` alone."""
        assert self._process is not None
        if whom == "worker":
            for child in _children(self._process.pid):
                os.kill(child, signal.SIGKILL)
            return
        if whom == "all":
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def memory(self) -> int:
        """What its workers hold in memory, bytes."""
        return sum(1024 * self._status(child, "VmRSS") for child in self._workers())

    def threads(self) -> int:
        """Threads of its workers."""
        return sum(self._status(child, "Threads") for child in self._workers())

    def _workers(self) -> list[int]:
        assert self._process is not None
        return _children(self._process.pid)

    @staticmethod
    def _status(pid: int, name: str) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Leave nothing running."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]
