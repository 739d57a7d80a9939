"""Claims: which runner gets which queued job, and how a claim is undone.

A lane is the set of labels a job needs, as one string. A runner serves each lane whose labels it all has,
so a claim is one look at the head of each lane it serves and one atomic `UPDATE`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, or_, select, text, update
from sqlalchemy.orm import Session

from github_app import jobs
from github_app.db import Database
from github_app.jobs import EventKind, Status
from github_app.models import Job, JobEvent, Runner
from github_app.moves import move, utc_now, write_event
from runner.protocol import Conclusion, RobotReport


class NoSuchRunnerError(Exception):
    """There is no runner of this number."""


class KeySpentError(Exception):
    """The job of this claim key is over."""


@dataclass(frozen=True)
class ClaimRequest:
    """A runner's wish for a job; `key` names the wish (see JOB CONTRACT)."""

    runner_id: int
    key: str
    robot: RobotReport
    software: str = ""


def served_labels(name: str, labels: Collection[str], robot: RobotReport) -> frozenset[str]:
    """All labels a runner answers to: its own, its name, its robot's kind and plant."""
    return frozenset({*labels, name, robot.kind, robot.plant})


def claim(
    session: Session, request: ClaimRequest, *, lease_s: float, now: datetime | None = None
) -> Job | None:
    """The next job for this runner, or None.

    The same key gives the same job. A runner that asks with a new key while a job waits for it in `claimed`
    does not know of that job (it was restarted, or the answer was lost for good), for it would not ask
    before that one runs: the job goes back into the queue at once.

    Raises:
        KeySpentError: The job of this key is over.
        NoSuchRunnerError: The runner is unknown.
    """
    now = now or utc_now()
    runner = _touch(session, request, now)
    for job in session.scalars(_held_or_keyed(request)).unique():
        if job.claim_key == request.key:
            if job.status == Status.COMPLETED.value:
                raise KeySpentError("the job of this claim key is over; ask with a new key")
            return job
        if job.status == Status.CLAIMED.value:
            drop_claim(session, job, "its runner asked for another job", now)
    if not request.robot.healthy:
        return None
    served = served_labels(runner.name, runner.labels, request.robot)
    for lane in _lanes_in_order(session, served):
        job_id = _take(session, lane, request, now, now + timedelta(seconds=lease_s))
        if job_id is not None:
            return _claimed(session, job_id, runner, now)
    return None


def _touch(session: Session, request: ClaimRequest, now: datetime) -> Runner:
    """Note that the runner is online. Its row's lock makes its claims follow one another."""
    statement = (
        update(Runner)
        .where(Runner.id == request.runner_id, Runner.revoked_at.is_(None))
        .values(seen_at=now, software=request.software, robot=request.robot.model_dump(mode="json"))
        .returning(Runner)
    )
    runner = session.scalars(statement).one_or_none()
    if runner is None:
        raise NoSuchRunnerError(f"there is no runner {request.runner_id} any more; register it again")
    return runner


def _held_or_keyed(request: ClaimRequest) -> Select[Job]:
    held = (Job.runner_id == request.runner_id) & Job.status.in_(["claimed", "running"])
    mine = or_(held, (Job.claim_key == request.key) & (Job.runner_id == request.runner_id))
    return select(Job).where(mine).with_for_update(of=Job)


_LANES = text("""
    WITH RECURSIVE lanes(lane) AS (
        SELECT (SELECT min(lane) FROM jobs WHERE status = 'queued')
        UNION ALL
        SELECT (SELECT min(lane) FROM jobs WHERE status = 'queued' AND lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT lane, (
        SELECT order_key FROM jobs WHERE status = 'queued' AND jobs.lane = lanes.lane
        ORDER BY order_key, id LIMIT 1
    ) FROM lanes WHERE lane IS NOT NULL
""")
"""Each lane and the order key at its head, by one index look-up a lane, however many jobs wait."""


def waiting_lanes(session: Session) -> dict[str, float]:
    """The lanes that hold queued jobs, and the order key at the head of each."""
    # A lane may empty between the two look-ups of the statement; then it has no head.
    return {lane: key for lane, key in session.execute(_LANES) if key is not None}


def serves(labels: frozenset[str], lane: str) -> bool:
    """Whether a runner with these labels may take jobs of the lane."""
    return labels.issuperset(lane.split(",")) if lane else True


def _lanes_in_order(session: Session, served: frozenset[str]) -> list[str]:
    heads = waiting_lanes(session)
    return sorted((lane for lane in heads if serves(served, lane)), key=lambda lane: heads[lane])


def _take(session: Session, lane: str, request: ClaimRequest, now: datetime, expires: datetime) -> int | None:
    """The atomic claim. On PostgreSQL a job that another transaction is claiming is stepped over."""
    head = (
        select(Job.id)
        .where(Job.status == Status.QUEUED.value, Job.lane == lane)
        .order_by(Job.order_key, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    jobs.move(jobs.State(Status.QUEUED), EventKind.CLAIMED)
    statement = (
        update(Job)
        .where(Job.id == head, Job.status == Status.QUEUED.value)
        .values(
            status=Status.CLAIMED.value,
            runner_id=request.runner_id,
            claim_key=request.key,
            fence=secrets.token_hex(16),
            attempt=Job.attempt + 1,
            claimed_at=now,
            lease_expires_at=expires,
            log_length=0,
            phase="",
        )
        .returning(Job.id)
    )
    return session.execute(statement).scalar_one_or_none()


def _claimed(session: Session, job_id: int, runner: Runner, now: datetime) -> Job:
    job = session.get_one(Job, job_id, populate_existing=True)
    write_event(session, job, EventKind.CLAIMED, now, {"runner": runner.name, "attempt": job.attempt})
    Database.wake(session, "queue")  # the next runner may look for the next job
    session.flush()
    return job


def drop_claim(session: Session, job: Job, why: str, now: datetime) -> None:
    """Take a job from a runner that will not begin it: back to its place, or, after too many losses, ended.

    A claim that was to be cancelled is cancelled.
    """
    losses = select(func.count()).where(
        JobEvent.job_id == job.id, JobEvent.kind == EventKind.LEASE_LOST.value
    )
    if job.cancel_reason is not None:
        job.reason = job.cancel_reason
        move(session, job, EventKind.CANCELLED, now=now, conclusion=Conclusion.CANCELLED, why=why)
    elif session.execute(losses).scalar_one() + 1 >= jobs.MAX_ATTEMPTS:
        job.reason = (
            f"The runner was lost {jobs.MAX_ATTEMPTS} times while it prepared this job, last because {why}."
            " The robot did not move. This was our fault: run it again."
        )
        move(session, job, EventKind.LOST, now=now, conclusion=Conclusion.NEUTRAL, why=why)
    else:
        move(session, job, EventKind.LEASE_LOST, now=now, why=why, attempt=job.attempt)
        Database.wake(session, "queue")
    forget_claim(job)
    session.flush()


def forget_claim(job: Job) -> None:
    """Make the fence stale and the claim key free."""
    job.fence = job.claim_key = job.lease_expires_at = None
    job.runner_id = None
    job.claimed_at = None
    job.phase = ""
