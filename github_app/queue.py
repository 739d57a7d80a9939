"""The queue: jobs enter, wait in order and may be cancelled.

Who gets them is in `claims`, what follows in `leases`. Every function of the three works in the caller's
transaction (`Database.write()`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from github_app.db import Database
from github_app.jobs import EventKind, Status
from github_app.models import Job, is_queued
from github_app.moves import locked, move, utc_now, write_event
from runner.protocol import Conclusion

LANE_MAX = 255


@dataclass(frozen=True)
class Refusal:
    """Why a job ends before it began: failure, skipped or action_required, and a sentence for people."""

    conclusion: Conclusion
    reason: str


@dataclass(frozen=True)
class JobRequest:
    """What it takes to make a job; the fields are those of `models.Job`.

    Attributes:
        trigger_key: The same request has the same key: a second `submit` gives the first one's job.
        labels: What a robot must have.
        timeout_s: Longest time on the robot, per session [s].
        refusal: The job is made and completed at once; no runner sees it.
    """

    repository_id: int
    trigger: str
    trigger_key: str
    requested_by: str
    sha: str
    ref: str
    config: dict[str, Any]
    labels: Sequence[str]
    timeout_s: float
    sessions: int = 1
    pull_request: int | None = None
    head_repository: str | None = None
    rerun_of: int | None = None
    config_error: dict[str, Any] | None = None
    refusal: Refusal | None = None


def lane_of(labels: Collection[str]) -> str:
    """The lane of a job that needs these labels.

    Raises:
        ValueError: They are too many or too long for the index.
    """
    lane = ",".join(sorted(set(labels)))
    if len(lane) > LANE_MAX:
        raise ValueError(f"the labels are longer than {LANE_MAX} characters together; use fewer")
    return lane


def submit(session: Session, request: JobRequest, *, now: datetime | None = None) -> Job:
    """Put a job into the queue, or find the one that the same request made before.

    Raises:
        ValueError: The labels do not fit a lane.
    """
    now = now or utc_now()
    values = asdict(request)
    del values["refusal"]
    values.update(
        labels=sorted(set(request.labels)),
        lane=lane_of(request.labels),
        status=Status.QUEUED.value,
        order_key=0.0,
        created_at=now,
        next_report_at=now,
    )
    insert_ = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    statement = insert_(Job).values(values).on_conflict_do_nothing(index_elements=[Job.trigger_key])
    job_id = session.execute(statement.returning(Job.id)).scalar_one_or_none()
    if job_id is None:
        return session.scalars(select(Job).where(Job.trigger_key == request.trigger_key)).unique().one()
    job = session.get_one(Job, job_id)
    # First come, first served. Any other order is a matter of computing this key here.
    job.order_key = float(job_id)
    write_event(session, job, EventKind.QUEUED, now, {"by": request.requested_by, "trigger": request.trigger})
    if request.refusal is not None:
        job.reason = request.refusal.reason
        move(session, job, EventKind.REFUSED, now=now, conclusion=request.refusal.conclusion)
    else:
        Database.wake(session, "queue")
    session.flush()
    return job


def cancel(session: Session, job_id: int, reason: str, by: str, *, now: datetime | None = None) -> Job:
    """Stop a job: at once where it is queued, else by asking its runner. Repeats change nothing.

    Raises:
        NoSuchJobError: There is no such job.
    """
    now = now or utc_now()
    job = locked(session, job_id)
    if job.status == Status.QUEUED.value:
        job.reason = reason
        move(session, job, EventKind.CANCELLED, now=now, conclusion=Conclusion.CANCELLED, by=by)
    elif job.status != Status.COMPLETED.value and job.cancel_reason is None:
        job.cancel_reason = reason
        move(session, job, EventKind.CANCEL_REQUESTED, now=now, by=by, reason=reason)
    session.flush()
    return job


def position(session: Session, job: Job) -> int:
    """The place among the queued jobs of its lane: 1 is next. 0 when it is not queued."""
    if job.status != Status.QUEUED.value:
        return 0
    ahead = select(func.count()).where(
        is_queued(Job.status),
        Job.lane == job.lane,
        tuple_(Job.order_key, Job.id) < tuple_(job.order_key, job.id),
    )
    return session.execute(ahead).scalar_one() + 1
