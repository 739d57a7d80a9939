"""Child processes that end with their parent and can be killed at bad moments."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class StartError(Exception):
    """A process ended, or did not get ready in time; the message holds the end of its log."""


def script(name: str) -> str:
    """The path of one of our console scripts, beside the Python that runs this."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise StartError(f"{path} is missing: install this repository first (`make setup`)")
    return str(path)


def free_port(preferred: int = 0) -> int:
    """A TCP port of 127.0.0.1 that is free now; `preferred` if it is."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartError("no TCP port of 127.0.0.1 is free")


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str, every_s: float = 0.05) -> None:
    """Return once `condition` holds.

    Raises:
        TimeoutError: It did not within `timeout_s`; the message says `what` was awaited.
    """
    deadline = monotonic() + timeout_s
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for {what}")
        sleep(every_s)


class Process:
    """One child in a session of its own, so that a terminal's Ctrl-C reaches only the parent.

    Args:
        name: For messages and the log's name.
        command: Program and arguments.
        log: Where standard output and error go (appended).
        env: Its whole environment; default is ours.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509  # one system call, no lock is touched
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def ready(self, condition: Callable[[], bool], timeout_s: float = 120) -> None:
        """Wait for `condition`.

        Raises:
            StartError: The process ended before, or took longer than `timeout_s`.
        """
        try:
            wait_until(lambda: not self.running or condition(), timeout_s, f"{self.name} to get ready")
        except TimeoutError as error:
            raise StartError(f"{error}; the end of {self.log}:\n{self.tail()}") from error
        if not self.running:
            status = self._child.returncode
            raise StartError(
                f"{self.name} ended at once, with status {status}; the end of {self.log}:\n{self.tail()}"
            )

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child and all it started."""
        if self.running:
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.signal(signal.SIGKILL)
        self._child.wait()

    def stop(self, timeout_s: float = 15, signals: int = 1) -> None:
        """SIGTERM, `signals` times a second apart; SIGKILL if that does not end it within `timeout_s`."""
        for _ in range(signals):
            if self.running:
                self._child.terminate()
                try:
                    self._child.wait(1)
                except subprocess.TimeoutExpired:
                    continue
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            self._sweep()

    def _sweep(self) -> None:
        """End what a child of the child may have left in the session."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def end_with_parent(sig: signal.Signals = signal.SIGTERM) -> None:
    """Send this process `sig` when the thread that started it ends, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, sig)
