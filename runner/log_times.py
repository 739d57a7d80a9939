"""When within a session each part of the log was written: the program's output by the controller's clock.

A program prints at some moment of this host's monotonic clock; a session's clock counts ticks, stands still
while the robot comes to rest between two episodes, and is the controller's. Its telemetry says of the newest
tick where on the monotonic clock it began, about ten times a second. What was printed between two such words
is placed between their ticks; what comes after the last tick bears its time. A program can move neither.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from runner.protocol import LOG_TIMES_MAX, LogTime

RESOLUTION_S = 0.01
"""Output that follows so soon bears the same time: the shortest control period of our robots."""
ON_S = 0.25
"""A clock that was not heard of for longer than this stands still: telemetry comes every 0.1 s."""
MARKS_MAX = 20_000
"""Marks held for a server that does not answer; what is printed after them bears the last one's time."""


@dataclass
class _Mark:
    """Output from `offset` on was written at `at` [s], monotonic; `session` None: outside of any session."""

    offset: int
    at: float
    session: int | None
    t: float | None = None
    known: bool = False


class LogTimes:
    """The marks of one attempt's log that its server has not acknowledged. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: list[_Mark] = []
        self._session: int | None = None
        self._at = self._t = 0.0
        self._heard = self._wanted = False

    def begin(self, session: int) -> None:
        """What is written from now on belongs to a session, from its first tick on."""
        with self._lock:
            self._session, self._heard, self._t = session, False, 0.0

    def clock(self, at: float, t: float) -> None:
        """The session's time was `t` [s] at `at` [s] of the monotonic clock."""
        with self._lock:
            for mark in self._pending():
                if mark.at <= at:
                    mark.t, mark.known = self._between(mark.at, at, t), True
            self._heard, self._wanted = True, True
            self._at, self._t = at, t

    def end(self) -> None:
        """The session is over."""
        with self._lock:
            for mark in self._pending():
                mark.t, mark.known = self._after(mark.at), True
            self._session = None

    def wrote(self, offset: int) -> None:
        """Output that begins at `offset` is being written now."""
        now = time.monotonic()
        with self._lock:
            last = self._marks[-1] if self._marks else None
            if last is None and self._session is None:
                return
            same = last is not None and last.session == self._session
            if same and last is not None and (self._session is None or now - last.at < RESOLUTION_S):
                return
            if len(self._marks) < MARKS_MAX:
                self._marks.append(_Mark(offset, now, self._session, known=self._session is None))

    def between(self, start: int, end: int) -> list[LogTime]:
        """The times of a piece of log; what lies before it is forgotten.

        Args:
            start: Where the piece begins, in bytes of the log: everything before is acknowledged.
            end: Where it ends.

        Returns:
            At most `LOG_TIMES_MAX` of them, none before `start`. Empty where no clock was ever heard of: an
            older controller does not tell.
        """
        with self._lock:
            before = [mark for mark in self._marks if mark.offset <= start]
            self._marks = [*before[-1:], *self._marks[len(before) :]]
            if not self._wanted:
                return []
            inside = [mark for mark in self._marks if mark.offset < end]
            every = -(-len(inside) // LOG_TIMES_MAX)
            return [self._told(mark, start) for mark in inside[:: max(1, every)]]

    def _told(self, mark: _Mark, start: int) -> LogTime:
        t = mark.t if mark.known else self._after(mark.at)
        offset = max(mark.offset, start)
        return LogTime(offset=offset, session=mark.session if t is not None else None, t=t)

    def _pending(self) -> list[_Mark]:
        return [mark for mark in self._marks if not mark.known and mark.session == self._session]

    def _between(self, at: float, later: float, t: float) -> float | None:
        """The time at `at`, before `later`, when it was `t`: not before the tick that was heard of before."""
        there = t - (later - at)
        if not self._heard:
            return round(max(0.0, there), 3) if there > -2 * RESOLUTION_S else None
        return round(max(there, min(self._t, t)), 3)

    def _after(self, at: float) -> float | None:
        """The time at `at`, after the last tick heard of."""
        if not self._heard:
            return None
        return round(self._t + min(max(0.0, at - self._at), ON_S), 3)
