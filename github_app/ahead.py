"""Jobs claimed ahead: held by a runner whose robot is still busy, and given up to a robot that is idle.

A runner whose session nears its end claims the next job ahead (`Claim.ahead`) and prepares it meanwhile. That
must never make a job wait while a robot stands still: a runner that asks for a job to run now and finds the
queue empty for it gets a job that another one only holds ahead. The job keeps its place and nothing counts as
lost; its former holder learns of it by a 409 `released` at its next call.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.orm import Session

from github_app.claims import ClaimRequest, forget_claim, served_labels, serves
from github_app.columns import is_claimed_ahead
from github_app.db import Database
from github_app.jobs import EventKind
from github_app.models import Job, Runner
from github_app.moves import move

_jobs = cast("Table", Job.__table__)
_HELD = (
    select(_jobs.c.id, _jobs.c.lane)
    .where(is_claimed_ahead(_jobs), _jobs.c.runner_id != bindparam("asking"))
    .order_by(_jobs.c.order_key, _jobs.c.id)
)


def lanes(session: Session) -> set[str]:
    """The lanes of the jobs that are only claimed ahead."""
    found = session.execute(select(_jobs.c.lane).where(is_claimed_ahead(_jobs)).distinct())
    return {row[0] for row in found}


def give_up(session: Session, database: Database, request: ClaimRequest, now: datetime) -> bool:
    """Put the first job that this idle runner could run and another one holds ahead back into the queue.

    Args:
        session: A writing transaction.
        database: Its database.
        request: What the idle runner asked for, in vain.
        now: The time.

    Returns:
        Whether there was one; it is at its old place now.
    """
    if request.ahead or not request.robot.healthy:
        return False
    runner = session.get_one(Runner, request.runner_id)
    if runner.drained_at is not None:
        return False
    mine = served_labels(runner.name, runner.labels, request.robot)
    for row in session.execute(_HELD, {"asking": request.runner_id}).all():
        if not serves(mine, row.lane):
            continue
        # Where somebody has the row just now, the next look, a second later, finds it as it then is.
        this = select(Job).where(Job.id == row.id, is_claimed_ahead(_jobs), Job.cancel_reason.is_(None))
        job = session.scalars(database.skip_locked(this)).unique().one_or_none()
        if job is not None:
            said: dict[str, Any] = {"attempt": job.attempt, "holder": job.runner_id, "to": runner.name}
            move(session, job, EventKind.RELEASED, now=now, **said)
            forget_claim(job)
            session.flush()
            return True
    return False
