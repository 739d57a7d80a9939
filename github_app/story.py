"""What a job's stream tells, read from the database: its events and its log, each once and in order.

A `Cursor` says how far a reader has come. It is all a stream needs to go on, at this server process or at any
other: what lies before a cursor never changes, so that the same cursor always goes on with the same bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import job_view, joblog, log_lines, log_times
from github_app.jobs import Status
from github_app.log_times import Mark
from github_app.models import Job, JobEvent

PIECE = 32 * 1024
"""Bytes of log in one message at most."""
PIECES_MAX = 8
"""Messages read at a time: what one reader holds in memory while it is being sent."""
NUMBER_MAX = (1 << 63) - 1
_CURSOR = re.compile(r"(\d{1,19})\.(\d{1,9})\.(\d{1,19})\.(\d{1,19})(\.end)?", re.ASCII)


class BadCursorError(ValueError):
    """The text is no cursor."""


@dataclass(frozen=True)
class Cursor:
    """How far a reader has come.

    Attributes:
        event: The last event it knows.
        attempt: Whose log it reads; 0 before the first.
        offset: Bytes of that log it has.
        line: Number of the line that comes next, for its anchor.
    """

    event: int = 0
    attempt: int = 0
    offset: int = 0
    line: int = 1

    def __str__(self) -> str:
        return f"{self.event}.{self.attempt}.{self.offset}.{self.line}"

    def covers(self, other: Cursor) -> bool:
        """Whether nothing up to `other` is missing."""
        return self.event >= other.event and self.place >= other.place

    @property
    def place(self) -> tuple[int, int]:
        """Where in the logs."""
        return self.attempt, self.offset


def parse(text: str) -> tuple[Cursor, bool]:
    """The cursor in a message's id, and whether that message was the last one.

    Raises:
        BadCursorError: It is none.
    """
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise BadCursorError("not an id of this stream")
    numbers = [int(number) for number in found.groups()[:4]]
    if max(numbers) > NUMBER_MAX:
        raise BadCursorError("not an id of this stream")
    return Cursor(*numbers), found[5] is not None


@dataclass(frozen=True)
class Piece:
    """A message, and where its reader is after it."""

    message: bytes
    after: Cursor


def encode(event: str, data: Any, id_: object = None) -> bytes:
    """A server-sent event. Without an id a reader's place stays where it was: the message may be lost."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    head = f"event: {event}\n" if id_ is None else f"id: {id_}\nevent: {event}\n"
    return f"{head}data: {text}\n\n".encode()


def tail(session: Session, job: Job, *, numbered: bool = False) -> Cursor:
    """Where a job stands now: its newest event, and the end of its log's last whole line.

    While the job lives, a begun line is left for later, for a secret in it can only be seen when it is whole;
    unless it is longer than a piece.

    Args:
        session: Any transaction.
        job: Read in it.
        numbered: Whether `line` has to be right: that reads the whole log.
    """
    end = joblog.stored_length(session, job, job.attempt)
    if job.status != Status.COMPLETED.value:
        start = max(0, end - PIECE)
        last = joblog.read(session, job, start=start, size=end - start)
        end = start + last.rfind(b"\n") + 1 if b"\n" in last or end < PIECE else end
    line = 1 + joblog.count_lines(session, job, end) if numbered else 1
    return Cursor(job.latest_event, job.attempt, end, line)


def following(session: Session, job: Job, cursor: Cursor, until: Cursor) -> tuple[list[Piece], Cursor]:
    """What comes after `cursor`, up to `until` at most, and where a reader is then.

    Args:
        session: Any transaction.
        job: Read in it.
        cursor: How far the reader is.
        until: A `tail` of this job.

    Returns:
        At most some `PIECES_MAX` messages. The cursor may be further than the last message: an attempt that
        printed nothing says nothing.
    """
    pieces = _events(session, job, cursor, until)
    cursor = pieces[-1].after if pieces else cursor
    while cursor.place < until.place and len(pieces) < PIECES_MAX:
        raw, marks = _stretch(session, job, cursor, until)
        if raw:
            piece = _log_piece(cursor, raw, marks)
            pieces.append(piece)
            cursor = piece.after
        elif cursor.attempt < until.attempt:
            cursor = replace(cursor, attempt=cursor.attempt + 1, offset=0, line=1)
        else:
            cursor = replace(cursor, offset=until.offset)  # what was there is deleted
    if len(pieces) < PIECES_MAX:
        cursor = replace(cursor, event=max(cursor.event, until.event))
    return pieces, cursor


def _events(session: Session, job: Job, cursor: Cursor, until: Cursor) -> list[Piece]:
    rows = session.scalars(
        select(JobEvent)
        .where(JobEvent.job_id == job.id, JobEvent.id > cursor.event, JobEvent.id <= until.event)
        .order_by(JobEvent.id)
        .limit(PIECES_MAX)
    )
    pieces = []
    for row in rows:
        cursor = replace(cursor, event=row.id)
        at = row.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = {"kind": row.kind, "at": at, "note": job_view.note(row)}
        pieces.append(Piece(encode("state", data, cursor), cursor))
    return pieces


def _stretch(session: Session, job: Job, cursor: Cursor, until: Cursor) -> tuple[bytes, list[Mark]]:
    """The next bytes of the log: whole lines, the rest of an ended log, or a part of a very long line.

    And when they were written.
    """
    end = until.offset
    if cursor.attempt < until.attempt:
        end = joblog.stored_length(session, job, cursor.attempt)
    size = min(PIECE, end - cursor.offset)
    if size <= 0:
        return b"", []
    raw, marks = joblog.read_timed(session, job, start=cursor.offset, size=size, attempt=cursor.attempt)
    if cursor.offset + len(raw) >= end:
        return raw, marks
    return raw[: raw.rfind(b"\n") + 1] or _whole_characters(raw), marks


def _whole_characters(raw: bytes) -> bytes:
    """Without the beginning of a UTF-8 character at the end."""
    for back in range(1, min(4, len(raw))):
        byte = raw[-back]
        if byte & 0xC0 != 0x80:
            return raw[:-back] if byte >= 0xC0 else raw
    return raw


def _log_piece(cursor: Cursor, raw: bytes, marks: list[Mark]) -> Piece:
    after = replace(cursor, offset=cursor.offset + len(raw), line=cursor.line + raw.count(b"\n"))
    lines = log_lines.lines(raw)
    data: dict[str, Any] = {
        "attempt": cursor.attempt,
        "offset": cursor.offset,
        "end": after.offset,
        "line": cursor.line,
        "lines": [line.as_json() for line in lines],
        "open": not raw.endswith(b"\n"),
    }
    if times := log_times.as_json(log_times.by_line(raw, cursor.offset, marks, len(lines))):
        data["times"] = times
    return Piece(encode("log", data, after), after)
