"""When within a session each line of a log was written: what replays mark by. Pure.

Runners say so for pieces of the log (`runner.protocol.LogTime`): from a byte on, this session's clock. A
program has no say in it, and what a runner says is believed only where it is in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from runner.protocol import LogChunk


class Mark(NamedTuple):
    """From a byte of the log on.

    Attributes:
        offset: The byte, counted in the attempt's whole log.
        session: Number of the session, or None outside of any.
        t: Its time [s], or None where it is not known.
    """

    offset: int
    session: int | None
    t: float | None

    @property
    def moment(self) -> tuple[int, float] | None:
        """Session and time."""
        return None if self.session is None or self.t is None else (self.session, self.t)


Moments = Sequence[tuple[int, float] | None]


def of_chunk(chunk: LogChunk) -> list[Mark]:
    """What a runner says of a piece; nothing where it contradicts itself."""
    marks = [Mark(time.offset, time.session, time.t) for time in chunk.times]
    offsets = [mark.offset for mark in marks]
    moments = [mark.moment for mark in marks if mark.moment is not None]
    return marks if offsets == sorted(set(offsets)) and moments == sorted(moments) else []


def of_stretch(marks: Iterable[Mark], start: int, end: int) -> list[Mark]:
    """The marks that say something of the bytes from `start` to `end`, the first one moved to `start`."""
    found: list[Mark] = []
    for mark in marks:
        if mark.offset >= end:
            break
        if found and (mark.offset <= start or mark.moment == found[-1].moment):
            if mark.offset <= start:
                found = [mark._replace(offset=start)]
            continue
        found.append(mark._replace(offset=max(start, mark.offset)))
    return found


def by_line(raw: bytes, start: int, marks: Sequence[Mark], shown: int) -> list[tuple[int, float] | None]:
    """When each line of a stretch was begun.

    Args:
        raw: The stretch.
        start: Where it begins [bytes of the log].
        marks: In order.
        shown: How many lines are shown of it; of a stretch out of which some were removed nothing is said.
    """
    moments: list[tuple[int, float] | None] = []
    at, begins = 0, start
    now: tuple[int, float] | None = None
    for line in raw.removesuffix(b"\n").split(b"\n") if raw else ():
        while at < len(marks) and marks[at].offset <= begins:
            now = marks[at].moment
            at += 1
        moments.append(now)
        begins += len(line) + 1
    return moments if len(moments) == shown else [None] * shown


def as_json(moments: Moments) -> list[list[Any]]:
    """`[line, session, t]`: from this line of the piece on; `[line]` from where nothing is known."""
    said: list[list[Any]] = []
    before: tuple[int, float] | None = None
    for number, moment in enumerate(moments):
        if moment != before or number == 0:
            said.append([number, *(moment or ())])
            before = moment
    return [] if said == [[0]] else said
