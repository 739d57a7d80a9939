"""A terminal on which a program's output passes, and below it one line that says how far it is.

On a pipe there is no such line: what is being done is said once, as a line of its own.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TextIO

from rich.cells import cell_len, set_cell_size

_CLEAR = "\r\x1b[K"
_WORTH_TELLING_S = 2.0
"""A phase that took longer leaves a line with its time on the terminal [s]."""
_WIDTH = 80


class Screen:
    """For several threads.

    Args:
        output: Where the program's output goes.
        progress: Where ours goes; the changing line only if it is a terminal.
    """

    def __init__(self, output: TextIO, progress: TextIO) -> None:
        self._output = output
        self._progress = progress
        self._live = progress.isatty() and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()
        self._phase = ""
        self._since = 0.0
        self._counting = False
        self._line = ""
        self._shown = False
        self._midline = False
        self._over = threading.Event()
        self._clock: threading.Thread | None = None

    @property
    def width(self) -> int:
        """Cells that the changing line has."""
        try:
            return os.get_terminal_size(self._progress.fileno()).columns - 1 or _WIDTH
        except (OSError, ValueError):
            return _WIDTH

    def show(self, data: bytes) -> None:
        """Some of the program's output.

        Raises:
            OSError: Nobody reads it any more.
        """
        self.print(data.decode(errors="replace"))

    def print(self, text: str, *, whole: bool = False) -> None:
        """The same as text; `whole` lines never begin within a line of the program."""
        with self._lock:
            self._clear()
            if whole and self._midline:
                text = "\n" + text
            self._output.write(text)
            self._output.flush()
            self._midline = not text.endswith("\n") if text else self._midline
            self._draw()

    def say(self, phase: str) -> None:
        """What is being done from now on; the line counts the seconds."""
        with self._lock:
            if not self._live:
                self._write(f"{phase}\n")
                return
            self._end_phase()
            self._phase, self._since = phase, time.monotonic()
            self._line, self._counting = f"… {phase}", True
            self._draw()
            if self._clock is None:
                self._clock = threading.Thread(target=self._count, daemon=True)
                self._clock.start()

    def ticked(self, t: float) -> None:
        """The robot's clock shows `t` [s]."""
        self.status(f"… {self._phase}: {t:.1f} s on the robot")

    def status(self, line: str) -> None:
        """The changing line as it shall be, until something else is said. Nothing on a pipe."""
        with self._lock:
            if self._live:
                self._line, self._counting = line, False
                self._draw()

    def end(self) -> None:
        """Leave the terminal as a next line wants it."""
        self._over.set()
        with self._lock:
            self._end_phase()
            self._line = ""
            self._clear()
            if self._midline:
                self._write("\n")
                self._midline = False

    def _count(self) -> None:
        """Show that a long phase is alive."""
        while not self._over.wait(1.0):
            with self._lock:
                if self._counting:
                    self._line = f"… {self._phase} ({time.monotonic() - self._since:.0f} s)"
                    self._draw()

    def _end_phase(self) -> None:
        took = time.monotonic() - self._since
        if self._phase and took > _WORTH_TELLING_S and not self._midline:
            self._clear()
            self._write(f"  {self._phase}: {took:.0f} s\n")
        self._phase = ""

    def _draw(self) -> None:
        if self._live and self._line and not self._midline and not self._over.is_set():  # never into a line
            room = self.width
            fitting = self._line if cell_len(self._line) <= room else set_cell_size(self._line, room)
            self._write(f"{_CLEAR}{fitting}")
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._write(_CLEAR)
            self._shown = False

    def _write(self, text: str) -> None:
        self._progress.write(text)
        self._progress.flush()
