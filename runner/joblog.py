"""One attempt's log on disk: written as it comes, read by offset, cut at a limit with a note."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from runner.log_times import LogTimes

OWN_BYTES = 4096
"""Of the limit, kept for what the runner has to say after the program has used up the rest."""
FLOOD_FACTOR = 4
"""A program that prints this many times the limit is stopped: discarding output costs the host's time."""


class JobLog:
    """Append-only, for several threads.

    Args:
        path: Continued where it exists.
        limit: Longest log, bytes. The last `OWN_BYTES` of it, or a quarter, are for `say`.

    Attributes:
        times: When its parts were written; not kept on disk, so a restart forgets them.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.changed = threading.Condition()
        self.times = LogTimes()
        self._limit = limit
        self._program_limit = limit - min(OWN_BYTES, limit // 4)
        self._file = path.open("a+b", buffering=0)
        self.length = self._file.seek(0, os.SEEK_END)
        self._discarded = 0
        self.failed = False

    def close(self) -> None:
        """No more is written."""
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append what a program printed, as far as it fits; the first byte that does not leaves a note."""
        with self.changed:
            self.times.wrote(self.length)
            room = max(self._program_limit - self.length, 0)
            if self._discarded == 0 and len(data) > room:
                data, self._discarded = data[:room], len(data) - room
                self._append(data)
                self._append(f"\nraas: the log is cut here, at {self._program_limit} bytes\n".encode())
            elif self._discarded:
                self._discarded += len(data)
            else:
                self._append(data)
            self.changed.notify_all()

    def say(self, sentence: str) -> None:
        """A line of our own; it is there after a program that printed too much, too."""
        with self.changed:
            self.times.wrote(self.length)
            start = b"" if self.length == 0 or self.read(self.length - 1, 1) == b"\n" else b"\n"
            line = start + f"raas: {sentence}\n".encode()
            self._append(line[: max(self._limit - self.length, 0)])
            self.changed.notify_all()

    @property
    def flooded(self) -> bool:
        """Whether the program printed so much that it must end."""
        return self._discarded > (FLOOD_FACTOR - 1) * self._limit

    @property
    def cut(self) -> bool:
        """Whether something was left out."""
        return self._discarded > 0

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`. While it is open, its folder may have been moved elsewhere."""
        if self._file.closed:
            with self.path.open("rb") as file:
                return os.pread(file.fileno(), size, offset)
        return os.pread(self._file.fileno(), size, offset)

    def tail(self, size: int = 64 * 1024) -> str:
        """The end, as text."""
        return self.read(max(0, self.length - size), size).decode(errors="replace")

    def _append(self, data: bytes) -> None:
        try:
            self.length += self._file.write(data) or 0
        except OSError:  # a full disk must not end the run: what is recorded elsewhere stays
            self.failed = True
