"""A local run on a terminal: the program's output as it is, and below it one line that says how far it is."""

from __future__ import annotations

import threading
from typing import TextIO

_CLEAR = "\r\x1b[K"


class Screen:
    """For several threads.

    Args:
        output: Where the program's output goes.
        progress: Where ours goes; the changing line only if it is a terminal.
    """

    def __init__(self, output: TextIO, progress: TextIO) -> None:
        self._output = output
        self._progress = progress
        self._live = progress.isatty()
        self._lock = threading.Lock()
        self._phase = ""
        self._shown = False
        self._midline = False

    def show(self, data: bytes) -> None:
        """Some of the program's output.

        Raises:
            OSError: Nobody reads it any more.
        """
        with self._lock:
            self._clear()
            self._output.write(data.decode(errors="replace"))
            self._output.flush()
            self._midline = not data.endswith(b"\n")

    def say(self, phase: str) -> None:
        """What is being done from now on."""
        with self._lock:
            self._phase = phase
            if self._live:
                self._line(phase)
            else:
                self._write(f"{phase}\n")

    def ticked(self, t: float) -> None:
        """The robot's clock shows `t` [s]."""
        with self._lock:
            if self._live:
                self._line(f"{self._phase}: {t:.1f} s on the robot")

    def end(self) -> None:
        """Leave the terminal as a next line wants it."""
        with self._lock:
            self._clear()
            if self._midline:
                self._write("\n")

    def _line(self, text: str) -> None:
        if not self._midline:  # never into a line of the program
            self._write(f"{_CLEAR}… {text}")
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._write(_CLEAR)
            self._shown = False

    def _write(self, text: str) -> None:
        self._progress.write(text)
        self._progress.flush()
