"""A terminal for drawing: its own screen, keys as they are pressed, and everything as before at the end."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ARROWS = {b"A": "up", b"B": "down", b"C": "right", b"D": "left"}
_NAMES = {b" ": "space", b"\x1b": "escape"}
_DISABLED = b"\0"
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class EndedError(BaseException):
    """A signal ends the program; its number. No `Exception`, so that nothing on the way keeps it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Keys:
    """The keys pressed, by name: `left`, `right`, `up`, `down`, `space`, `escape`, or the letter.

    Args:
        file: The terminal's descriptor, or None where there is none to read.
    """

    def __init__(self, file: int | None) -> None:
        self._file = file

    def wait(self, timeout_s: float) -> list[str]:
        """Those pressed, once there are any, after `timeout_s` at most."""
        if self._file is None:
            select.select([], [], [], max(0.0, timeout_s))
            return []
        if not select.select([self._file], [], [], max(0.0, timeout_s))[0]:
            return []
        data = os.read(self._file, 1024)
        if not data:  # the terminal has gone
            raise EndedError(signal.SIGHUP)
        return names(data)


def names(data: bytes) -> list[str]:
    """What was typed, as names; sequences of other keys are left out."""
    found = []
    while data:
        if data[:2] in (b"\x1b[", b"\x1bO") and len(data) > 2:
            length = next((at for at in range(2, len(data)) if 0x40 <= data[at] <= 0x7E), len(data) - 1) + 1
            name = _ARROWS.get(data[length - 1 : length], "")
        else:
            length = 1
            name = _NAMES.get(data[:1]) or data[:1].decode("ascii", errors="ignore")
        found += [name] if name else []
        data = data[length:]
    return found


@contextmanager
def terminal(*, reading: bool) -> Iterator[Keys]:
    """Single keys without echo, if `reading`; the modes come back whatever ends the block.

    Raises:
        EndedError: SIGTERM or SIGHUP.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        raise EndedError(number)

    before = {number: signal.signal(number, handle) for number in _ENDING}
    file = sys.stdin.fileno() if reading else None
    modes = termios.tcgetattr(file) if file is not None else None
    try:
        if file is not None:
            tty.setcbreak(file, termios.TCSANOW)
            single = termios.tcgetattr(file)
            single[6][termios.VSUSP] = _DISABLED  # a shell below a picture would help nobody
            termios.tcsetattr(file, termios.TCSANOW, single)
        yield Keys(file)
    finally:
        if file is not None and modes is not None:
            termios.tcsetattr(file, termios.TCSAFLUSH, modes)
        for number, old in before.items():
            signal.signal(number, old)
