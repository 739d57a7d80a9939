"""A move of a job: the transition table decides, and the event is written in the same transaction."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Table, event, insert
from sqlalchemy.orm import Session

from github_app import jobs
from github_app.db import Database
from github_app.jobs import EventKind, Status
from github_app.models import Job, JobEvent
from runner.protocol import Conclusion

log = logging.getLogger(__name__)

_events = cast("Table", JobEvent.__table__)
_APPEND = insert(_events).returning(_events.c.id)


class NoSuchJobError(Exception):
    """There is no job of this number."""


def utc_now() -> datetime:
    """The time on this machine. Servers that share a database need clocks that agree within a second."""
    return datetime.now(UTC)


def locked(session: Session, job_id: int) -> Job:
    """The job, locked until the end of this transaction.

    Raises:
        NoSuchJobError: There is no such job.
    """
    job = session.get(Job, job_id, with_for_update={"of": Job}, populate_existing=True)
    if job is None:
        raise NoSuchJobError(f"there is no job {job_id}")
    return job


def move(
    session: Session,
    job: Job,
    kind: EventKind,
    *,
    now: datetime,
    conclusion: Conclusion | None = None,
    **data: Any,
) -> None:
    """Take one step of the transition table and write it down.

    `next_report_at` is left alone: the reconciler may hold the row just now.

    Raises:
        jobs.IllegalMoveError: The job's state does not allow it; nothing was changed.
    """
    state = jobs.move(state_of(job), kind, conclusion)
    job.status = state.status.value
    job.conclusion = None if state.conclusion is None else state.conclusion.value
    job.lost = state.lost
    if state.status is Status.COMPLETED:
        job.completed_at = job.completed_at or now
        job.lease_expires_at = None
        data["conclusion"] = job.conclusion
    write_event(session, job, kind, now, data)


def state_of(job: Job) -> jobs.State:
    """The part of a job that the transition table decides on."""
    return jobs.State(Status(job.status), Conclusion(job.conclusion) if job.conclusion else None, job.lost)


def write_event(session: Session, job: Job, kind: EventKind, now: datetime, data: dict[str, Any]) -> None:
    """Append to the job's history, and wake whoever publishes it."""
    job.latest_event = append_event(session, job.id, kind, now, data)
    words, job_id = " ".join(f"{name}={value}" for name, value in data.items() if value is not None), job.id
    event.listen(
        session, "after_commit", lambda _: log.info("job %s: %s %s", job_id, kind.value, words), once=True
    )


def append_event(session: Session, job_id: int, kind: EventKind, now: datetime, data: dict[str, Any]) -> int:
    """As `write_event`, for a job that is not loaded; the caller stores the number as `latest_event`."""
    values = {"job_id": job_id, "at": now, "kind": kind.value, "data": data}
    event_id: int = session.execute(_APPEND, values).scalar_one()
    Database.wake(session, "checks")
    Database.wake(session, f"job:{job_id}")
    return event_id
