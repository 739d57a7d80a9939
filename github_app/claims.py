"""Claims: which runner gets which queued job, and how a claim is undone.

A lane is the set of labels a job needs, as one string; with `!` before them the names of robots whose rules
refuse it (`allowance`). A runner serves each lane whose labels it all has and which does not refuse it,
so a claim is one look at the head of each lane it serves and one atomic `UPDATE`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import psycopg
from sqlalchemy import Row, Table, bindparam, func, or_, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from github_app import jobs
from github_app.columns import is_live, is_queued
from github_app.db import Database
from github_app.jobs import EventKind, Status
from github_app.models import Job, JobEvent, Runner
from github_app.moves import append_event, move, utc_now
from runner.protocol import Conclusion, RobotReport

LOOKS = 10
"""Looks at the queue in one claim while others take what is found, before it is left to the next wake-up."""
LOCK_WAIT_MS = 2000
"""Longest wait for a job whose row is locked: a server that was cut off in the middle holds it longer."""


class NoSuchRunnerError(Exception):
    """There is no runner of this number."""


class KeySpentError(Exception):
    """The job of this claim key is over."""


@dataclass(frozen=True)
class ClaimRequest:
    """A runner's wish for a job; see JOB CONTRACT for `key` and `ahead`.

    Attributes:
        arrives: It begins to ask: note that it is there.
    """

    runner_id: int
    key: str
    robot: RobotReport
    software: str = ""
    ahead: bool = False
    arrives: bool = False


def served_labels(name: str, labels: Collection[str], robot: RobotReport) -> frozenset[str]:
    """All labels a runner answers to: its own, its name, its robot's kind and plant."""
    return all_labels(name, labels, robot.kind, robot.plant)


def all_labels(name: str, labels: Collection[str], kind: str, plant: str) -> frozenset[str]:
    """The same, where only these two are known of the robot."""
    return frozenset({*labels, name, kind, plant})


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
    runner = _lock_runner(session, request, now)
    mine = {"runner": request.runner_id, "key": request.key}
    for job_id, status, key in session.execute(_MINE, mine).all():
        if key == request.key:
            if status == Status.COMPLETED.value:
                raise KeySpentError("the job of this claim key is over; ask with a new key")
            job = session.get_one(Job, job_id)
            job.ahead = request.ahead and status == Status.CLAIMED.value
            return job
        if status == Status.CLAIMED.value:
            drop_claim(session, session.get_one(Job, job_id), "its runner asked for another job", now)
    if not request.robot.healthy or runner.drained_at is not None:
        return None
    served = served_labels(runner.name, runner.labels, request.robot)
    for _ in range(LOOKS):
        lanes = _lanes_in_order(session, served)
        for lane in lanes:
            taken = _take(session, lane, request, now, now + timedelta(seconds=lease_s))
            if taken is not None:
                return _claimed(session, taken, runner.name, now)
        if not lanes or not _await_head(session, lanes[0]):
            break
    return None


# The statements of a claim are built once, on tables instead of mapped classes: many wait for a claim.
_runners = cast("Table", Runner.__table__)
_jobs = cast("Table", Job.__table__)

_IT = (_runners.c.name, _runners.c.labels, _runners.c.drained_at)
_THIS_RUNNER = (_runners.c.id == bindparam("runner"), _runners.c.revoked_at.is_(None))
_RUNNER = select(*_IT).where(*_THIS_RUNNER).with_for_update(key_share=True)
_ARRIVES = update(_runners).where(*_THIS_RUNNER).values(seen_at=bindparam("now")).returning(*_IT)
_MINE = (
    select(_jobs.c.id, _jobs.c.status, _jobs.c.claim_key)
    .where(_jobs.c.runner_id == bindparam("runner"))
    .where(or_(is_live(_jobs.c.status), _jobs.c.claim_key == bindparam("key")))
    .with_for_update()
)
_HEAD = (
    select(_jobs.c.id)
    .where(is_queued(_jobs.c.status), _jobs.c.lane == bindparam("in_lane"))
    .order_by(_jobs.c.order_key, _jobs.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_AWAIT_HEAD = _HEAD.with_for_update()
_TAKE = (
    update(_jobs)
    .where(_jobs.c.id == _HEAD.scalar_subquery(), is_queued(_jobs.c.status))
    .values(
        status=jobs.move(jobs.State(Status.QUEUED), EventKind.CLAIMED).status.value,
        runner_id=bindparam("runner"),
        claim_key=bindparam("key"),
        fence=bindparam("new_fence"),
        ahead=bindparam("is_ahead"),
        attempt=_jobs.c.attempt + 1,
        claimed_at=bindparam("now"),
        lease_expires_at=bindparam("expires"),
        log_length=0,
        phase="",
    )
    .returning(_jobs.c.id, _jobs.c.attempt)
)
_LOCK_WAIT = text(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
_LATEST = update(_jobs).where(_jobs.c.id == bindparam("job")).values(latest_event=bindparam("event"))


def _lock_runner(
    session: Session, request: ClaimRequest, now: datetime
) -> Row[str, list[str], datetime | None]:
    """The runner. Its row's lock makes its claims follow one another."""
    this: dict[str, Any] = {"runner": request.runner_id}
    found = (
        session.execute(_ARRIVES, this | {"now": now}) if request.arrives else session.execute(_RUNNER, this)
    )
    runner = found.one_or_none()
    if runner is None:
        raise NoSuchRunnerError(f"there is no runner {request.runner_id} any more; register it again")
    return runner


_LANES = text("""
    WITH RECURSIVE lanes(lane) AS (
        SELECT (SELECT min(lane) FROM jobs WHERE status = 'queued')
        UNION ALL
        SELECT (SELECT min(lane) FROM jobs WHERE status = 'queued' AND lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT lanes.lane, jobs.order_key, jobs.id FROM lanes JOIN jobs ON jobs.id = (
        SELECT id FROM jobs WHERE status = 'queued' AND jobs.lane = lanes.lane
        ORDER BY order_key, id LIMIT 1
    )
""")
"""Each lane and the job at its head, by one index look-up a lane, however many jobs wait."""


def waiting_lanes(session: Session) -> dict[str, tuple[float, int]]:
    """The lanes that hold queued jobs, and the place of the first in each: its tag and number."""
    return {lane: (tag, number) for lane, tag, number in session.execute(_LANES)}


_COUNTS = text("""
    WITH RECURSIVE lanes(lane) AS (
        SELECT (SELECT min(lane) FROM jobs WHERE status = 'queued')
        UNION ALL
        SELECT (SELECT min(lane) FROM jobs WHERE status = 'queued' AND lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT lane, (SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE status = 'queued' AND jobs.lane = lanes.lane LIMIT :most
    ) AS first) AS jobs FROM lanes WHERE lane IS NOT NULL
""")


def waiting_jobs(session: Session, most: int) -> dict[str, int]:
    """How many jobs wait in each lane, `most` at most."""
    return {row.lane: row.jobs for row in session.execute(_COUNTS, {"most": most})}


def serves(labels: frozenset[str], lane: str) -> bool:
    """Whether a runner with these labels may take jobs of the lane; `!goose` in it is whoever is no goose."""
    needed, refused = parts(lane)
    return needed <= labels and refused.isdisjoint(labels)


@lru_cache(1000)
def parts(lane: str) -> tuple[frozenset[str], frozenset[str]]:
    """The labels a lane needs, and those it refuses."""
    words = lane.split(",") if lane else []
    refused = frozenset(word[1:] for word in words if word.startswith("!"))
    return frozenset(word for word in words if not word.startswith("!")), refused


def named_labels(lanes: Iterable[str]) -> frozenset[str]:
    """The labels that any of the lanes asks for or refuses: robots differ by no others."""
    return frozenset(label for lane in lanes for part in parts(lane) for label in part)


def _lanes_in_order(session: Session, served: frozenset[str]) -> list[str]:
    heads = waiting_lanes(session)
    return sorted((lane for lane in heads if serves(served, lane)), key=lambda lane: heads[lane])


def _take(
    session: Session, lane: str, request: ClaimRequest, now: datetime, expires: datetime
) -> Row[int, int] | None:
    """The atomic claim. On PostgreSQL a job that another transaction is claiming is stepped over."""
    values = {
        "in_lane": lane,
        "runner": request.runner_id,
        "key": request.key,
        "new_fence": secrets.token_hex(16),
        "is_ahead": request.ahead,
        "now": now,
        "expires": expires,
    }
    return session.execute(_TAKE, values).one_or_none()


def _await_head(session: Session, lane: str) -> bool:
    """Wait for a job at which others look: it was stepped over, but they may leave it in the queue.

    Somebody may be reporting it or writing its history. False where its lock is held too long.
    """
    try:
        with session.begin_nested():
            session.execute(_LOCK_WAIT)
            session.execute(_AWAIT_HEAD, {"in_lane": lane})
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            return False
        raise
    return True


def _claimed(session: Session, taken: Row[int, int], runner: str, now: datetime) -> Job:
    job_id, attempt = taken
    event = append_event(session, job_id, EventKind.CLAIMED, now, {"runner": runner, "attempt": attempt})
    session.execute(_LATEST, {"job": job_id, "event": event})
    Database.wake(session, "queue")  # the next runner may look for the next job
    return session.get_one(Job, job_id, populate_existing=True)


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
    job.ahead = False
    job.claimed_at = None
    job.phase = ""
