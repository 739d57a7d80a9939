"""A terminal with a person in front of it: a pseudo-terminal, and what its screen shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping

import pyte

WAIT_S = 60.0
_MARK = b"\0"
"""Terminals ignore it."""


class Terminal:
    """A command that runs on a terminal of its own.

    Args:
        command: The command.
        columns: Width.
        rows: Height.
        environment: Changes to this process's; None removes a name.
    """

    def __init__(
        self,
        command: list[str],
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        self.columns = columns
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=1.0)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.modes_before = termios.tcgetattr(theirs)
        changed = {"TERM": "xterm-256color", "NO_COLOR": None, "COLUMNS": None, "LINES": None}
        named = {**os.environ, **changed, **(environment or {})}
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={name: value for name, value in named.items() if value is not None},
            start_new_session=True,
            preexec_fn=_as_a_shell_does,  # noqa: PLW1509  # two system calls, no lock is touched
        )
        self._theirs = theirs  # open, so that the modes can be read after the end
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def modes(self) -> list[object]:
        """The terminal's modes now."""
        return termios.tcgetattr(self._theirs)

    @property
    def text(self) -> str:
        """What the screen shows, and what has scrolled off it."""
        with self._lock:
            gone = ["".join(line[at].data for at in range(self.columns)) for line in self._screen.history.top]
            return "\n".join(line.rstrip() for line in [*gone, *self._screen.display]).rstrip()

    @property
    def cursor_hidden(self) -> bool:
        """Whether the cursor is hidden."""
        return self.raw.rfind(b"\x1b[?25l") > self.raw.rfind(b"\x1b[?25h")

    @property
    def elsewhere(self) -> bool:
        """Whether the alternate screen is shown."""
        return self.raw.rfind(b"\x1b[?1049h") > self.raw.rfind(b"\x1b[?1049l")

    def until(self, there: str | Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait for words on the screen, or for a condition."""
        deadline = time.monotonic() + timeout_s
        while not (there in self.text if isinstance(there, str) else there()):
            assert time.monotonic() < deadline, f"{there} did not come:\n{self.text}"
            time.sleep(0.02)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = WAIT_S) -> int:
        """The exit status, once all it wrote is on the screen."""
        status = self.process.wait(timeout_s)
        os.write(self._theirs, _MARK)  # comes after all that the command wrote
        self.until(lambda: self.raw.endswith(_MARK), timeout_s)
        with self._lock:  # and now the screen shows it
            return status

    def close(self) -> None:
        """Leave nothing running."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._theirs)
        self._reader.join(5)
        os.close(self._ours)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # the last one at the other end has gone
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)


def _as_a_shell_does() -> None:
    """The terminal is the program's own, and Ctrl-C ends it even where these tests run in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
