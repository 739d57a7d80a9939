"""The log of a job: bytes at offsets, stored once each, whatever arrives twice or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from github_app.log_times import Mark, of_stretch
from github_app.models import Job, LogChunk
from runner.protocol import LOG_CHUNK_MAX

CUT_NOTE = b"\n[The log ends here: it reached the limit of %d bytes.]\n"
GAP_NOTE = b"\n[%d bytes of log are missing here: the runner was cut off from the server.]\n"


def append(
    session: Session, job: Job, offset: int, data: bytes, *, limit: int, marks: Sequence[Mark] = ()
) -> int:
    """Store what is new of a piece of the current attempt's log.

    A piece from beyond the end is not stored. Bytes past `limit` are taken note of, but dropped.

    Args:
        session: The job's row is locked in it.
        job: Whose log; its `log_length` moves on.
        offset: Where the piece begins, in bytes of this attempt's whole log.
        data: The piece.
        limit: Longest log that is stored, bytes.
        marks: When its parts were written.

    Returns:
        The length the server now holds (or has dropped): where the next piece has to begin.
    """
    end = offset + len(data)
    if offset > job.log_length or end <= job.log_length:
        return job.log_length
    fresh = data[job.log_length - offset :]
    kept = fresh[: max(0, limit - job.log_length)]
    if kept:
        _store(session, job, job.log_length, kept, marks)
    if job.log_length <= limit < end:
        _store(session, job, limit, CUT_NOTE % limit)
    job.log_length = end
    return end


def append_last(
    session: Session, job: Job, offset: int, data: bytes, *, limit: int, marks: Sequence[Mark] = ()
) -> None:
    """Store the last piece: nobody will fill a gap before it any more, so it is noted instead."""
    missing = offset - job.log_length
    if missing > 0 and job.log_length < limit:
        note = GAP_NOTE % missing
        append(session, job, job.log_length, note, limit=limit)
        offset = job.log_length
    append(session, job, offset, data, limit=limit, marks=marks)


def read(
    session: Session, job: Job, *, start: int = 0, size: int = 1 << 20, attempt: int | None = None
) -> bytes:
    """A stretch of one attempt's log as it is stored, notes included.

    Args:
        session: Any transaction.
        job: Whose log.
        start: First byte, in bytes of the log.
        size: At most so many bytes.
        attempt: Which one; the latest if it is not named.
    """
    return read_timed(session, job, start=start, size=size, attempt=attempt)[0]


def read_timed(
    session: Session, job: Job, *, start: int = 0, size: int = 1 << 20, attempt: int | None = None
) -> tuple[bytes, list[Mark]]:
    """Like `read`, and when it was written: marks in order, none before `start`."""
    rows = session.execute(
        select(LogChunk.start, LogChunk.data, LogChunk.times)
        .where(
            LogChunk.job_id == job.id,
            LogChunk.attempt == (job.attempt if attempt is None else attempt),
            LogChunk.start.between(start - 2 * LOG_CHUNK_MAX, start + size - 1),  # no piece is longer
        )
        .order_by(LogChunk.start)
    )
    chunks = [row for row in rows if row.start + len(row.data) > start]
    found = b"".join(row.data[max(0, start - row.start) :] for row in chunks)[:size]
    return found, of_stretch(_marks(chunks), start, start + len(found))


def _marks(chunks: Iterable[Row[Any]]) -> Iterator[Mark]:
    """A piece without times says that nothing is known of it."""
    for row in chunks:
        if not row.times or row.times[0][0] > row.start:
            yield Mark(row.start, None, None)
        for offset, number, t in row.times or ():
            yield Mark(offset, number, t)


def stored_length(session: Session, job: Job, attempt: int) -> int:
    """How many bytes of an attempt's log there are to read, notes included."""
    last = session.execute(
        select(LogChunk.start, func.length(LogChunk.data))
        .where(LogChunk.job_id == job.id, LogChunk.attempt == attempt)
        .order_by(LogChunk.start.desc())
        .limit(1)
    ).one_or_none()
    return 0 if last is None else int(last[0] + last[1])


def count_lines(session: Session, job: Job, end: int) -> int:
    """How many line feeds the first `end` bytes of the latest attempt's log hold."""
    count, start = 0, 0
    while start < end and (piece := read(session, job, start=start, size=min(end - start, 1 << 20))):
        count += piece.count(b"\n")
        start += len(piece)
    return count


def _store(session: Session, job: Job, start: int, data: bytes, marks: Sequence[Mark] = ()) -> None:
    times = [list(mark) for mark in of_stretch(marks, start, start + len(data))] or None
    session.add(LogChunk(job_id=job.id, attempt=job.attempt, start=start, data=data, times=times))
    session.flush()
