"""What happens to a claimed job: its runner's calls, each with the fence, and the reaper's.

The server's side of the JOB CONTRACT (`runner.protocol`), without HTTP. Every function locks the job's
row first, so a runner's calls, a cancellation and the reaper follow one another, however they arrive.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from github_app import claims, joblog, leaderboard, log_times
from github_app.columns import is_live
from github_app.db import Database
from github_app.jobs import EventKind, Status
from github_app.models import Job, JobEvent, Runner
from github_app.moves import locked, move, utc_now
from runner.protocol import Conclusion, Finish, Heartbeat, HeartbeatAnswer, LogChunk

LOST_REASON = (
    "The robot's runner was cut off while the robot moved, so this run has no result."
    " This was our fault, not yours: run it again."
)
REAP_BATCH = 100


class StaleFenceError(Exception):
    """The caller does not hold the job (any more)."""


class ReleasedError(StaleFenceError):
    """The caller held the job ahead, and it was given to a robot that was idle."""


class CancelledError(Exception):
    """The job was cancelled before the robot moved; its runner has to finish it."""


class BadLogError(Exception):
    """A piece of log is not base64."""


@dataclass(frozen=True)
class Holder:
    """Who calls: a runner, the job it means and the fence it holds."""

    runner_id: int
    job_id: int
    fence: str


@dataclass(frozen=True)
class LeaseRules:
    """How long a claim holds [s], how long it may prepare [s], how much log is kept (bytes)."""

    lease_s: float
    prepare_s: float
    log_bytes_max: int


_LIVE = (Status.CLAIMED.value, Status.RUNNING.value)


def held(session: Session, holder: Holder, *, or_lost: bool = False) -> Job:
    """The job, locked, if the caller holds it.

    Args:
        session: A writing transaction.
        holder: Who asks.
        or_lost: A lost job counts too, for its last holder.

    Raises:
        NoSuchJobError: There is no such job.
        StaleFenceError: The caller does not hold it.
    """
    job = _fenced(session, holder)
    if job.status in _LIVE or (or_lost and job.lost):
        return job
    raise StaleFenceError(f"job {job.id} is over; stop it and keep its results")


def _fenced(session: Session, holder: Holder) -> Job:
    job = locked(session, holder.job_id)
    same = job.fence is not None and secrets.compare_digest(job.fence.encode(), holder.fence.encode())
    if not same or job.runner_id != holder.runner_id:
        if _released(session, holder):
            raise ReleasedError(f"job {job.id} went to a robot that was idle; drop it")
        raise StaleFenceError(f"the lease of job {job.id} was lost; stop it and keep its results")
    return job


def _released(session: Session, holder: Holder) -> bool:
    """Whether the job was last taken from this runner for an idle robot."""
    last = (
        select(JobEvent.data)
        .where(JobEvent.job_id == holder.job_id, JobEvent.kind == EventKind.RELEASED.value)
        .order_by(JobEvent.id.desc())
        .limit(1)
    )
    data = session.execute(last).scalar()
    return data is not None and data.get("holder") == holder.runner_id


def start(session: Session, holder: Holder, rules: LeaseRules, *, now: datetime | None = None) -> Job:
    """Acknowledge that the robot is about to move. Repeats change nothing.

    Raises:
        StaleFenceError: The caller does not hold the job.
        CancelledError: It is to be cancelled.
    """
    now = now or utc_now()
    job = held(session, holder)
    if job.status == Status.RUNNING.value:
        return job
    if job.cancel_reason is not None:
        raise CancelledError(f"job {job.id} was cancelled ({job.cancel_reason}); finish it as cancelled")
    job.started_at = now
    job.ahead = False
    job.lease_expires_at = now + timedelta(seconds=rules.lease_s)
    move(session, job, EventKind.RUNNING, now=now)
    session.flush()
    return job


def heartbeat(
    session: Session, holder: Holder, message: Heartbeat, rules: LeaseRules, *, now: datetime | None = None
) -> HeartbeatAnswer:
    """Renew the lease and store the log that came with it.

    Raises:
        StaleFenceError: The caller does not hold the job.
        BadLogError: The log is not base64.
    """
    now = now or utc_now()
    # The runner's row first, as in a claim: the other way round they could wait for each other.
    session.execute(update(Runner).where(Runner.id == holder.runner_id).values(seen_at=now))
    job = held(session, holder)
    job.lease_expires_at = now + timedelta(seconds=rules.lease_s)
    job.phase = message.phase
    if message.log is not None:
        before = job.log_length
        _append(session, job, message.log, rules, joblog.append)
        if job.log_length > before:
            Database.wake(session, f"job:{job.id}")
    session.flush()
    return HeartbeatAnswer(log_length=job.log_length, cancel=job.cancel_reason)


def release(session: Session, holder: Holder, *, now: datetime | None = None) -> None:
    """Put a claimed job back into the queue, at its old place.

    Raises:
        StaleFenceError: The caller does not hold the job.
        jobs.IllegalMoveError: It runs already.
    """
    now = now or utc_now()
    job = held(session, holder)
    if job.cancel_reason is not None:
        claims.drop_claim(session, job, "its runner released it", now)
        return
    move(session, job, EventKind.RELEASED, now=now, attempt=job.attempt)
    claims.forget_claim(job)
    Database.wake(session, "queue")
    session.flush()


def finish(
    session: Session, holder: Holder, message: Finish, rules: LeaseRules, *, now: datetime | None = None
) -> None:
    """The job is over; or, for the last holder of a lost one, it had ended otherwise. Repeats change nothing.

    Raises:
        StaleFenceError: The caller does not hold the job, nor held it last.
        jobs.IllegalMoveError: The conclusion does not fit the job's state.
        BadLogError: The log is not base64.
    """
    now = now or utc_now()
    job = _fenced(session, holder)
    if job.status == Status.COMPLETED.value and job.results is not None:
        return
    if job.status == Status.COMPLETED.value and not job.lost:
        raise StaleFenceError(f"job {job.id} is over; discard its results")
    kind = EventKind.RECOVERED if job.lost else EventKind.FINISHED
    if message.log is not None:
        _append(session, job, message.log, rules, joblog.append_last)
    job.reason = message.reason
    # By way of JSON text: it turns NaN, which PostgreSQL's JSON refuses, into null.
    job.results = json.loads(message.model_dump_json(exclude={"fence", "log"}))
    move(session, job, kind, now=now, conclusion=message.conclusion)
    leaderboard.note(session, job)
    session.flush()


def reap(
    session: Session, database: Database, rules: LeaseRules, *, now: datetime | None = None
) -> Sequence[int]:
    """End the claims whose lease lapsed: back into the queue before the robot moved, `lost` after.

    The caller waits a full lease after a time in which heartbeats could not arrive (see `background`).

    Returns:
        The jobs it moved.
    """
    now = now or utc_now()
    too_long = now - timedelta(seconds=rules.prepare_s + rules.lease_s)  # the runner gives up first
    lapsed = or_(
        Job.lease_expires_at < now, (Job.status == Status.CLAIMED.value) & (Job.claimed_at < too_long)
    )
    due = select(Job).where(is_live(Job.status), lapsed).order_by(Job.id).limit(REAP_BATCH)
    found = session.scalars(database.skip_locked(due)).unique().all()
    for job in found:
        if job.status == Status.RUNNING.value:
            job.reason = LOST_REASON
            move(session, job, EventKind.LOST, now=now, conclusion=Conclusion.NEUTRAL)
        elif job.lease_expires_at is not None and job.lease_expires_at < now:
            claims.drop_claim(session, job, "its runner stopped answering", now)
        else:
            claims.drop_claim(session, job, "preparing took too long", now)
    session.flush()
    return [job.id for job in found]


def _append(
    session: Session, job: Job, chunk: LogChunk, rules: LeaseRules, how: Callable[..., object]
) -> None:
    data, marks = _bytes(chunk), log_times.of_chunk(chunk)
    how(session, job, chunk.offset, data, limit=rules.log_bytes_max, marks=marks)


def _bytes(chunk: LogChunk) -> bytes:
    try:
        return base64.b64decode(chunk.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadLogError("the log's `data` is not base64; encode the raw bytes") from error
