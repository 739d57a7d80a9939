"""A newer commit on a branch makes older ones that still wait pointless: they leave the queue.

Only jobs that a push or a pull request started by itself, and only while they are queued: what runs goes on,
and what somebody asked for is theirs to cancel. Deliveries are worked on side by side, so the order is not
that of the jobs but of the deliveries that announced them.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from github_app import queue
from github_app.jobs import Status
from github_app.models import Job

BY = "a newer commit"


def supersede(session: Session, job: Job) -> list[int]:
    """Cancel what this job, just queued, makes pointless; or the job itself where a newer one is there.

    In the transaction that queued it, whose lock on the owner keeps two of them from missing each other.

    Returns:
        The jobs that were cancelled.
    """
    if job.announced_by is None or job.head_repository is not None or job.status != Status.QUEUED.value:
        return []
    newer = session.scalars(_same(job, Job.announced_by > job.announced_by).limit(1)).unique().first()
    if newer is not None:
        queue.cancel(session, job.id, _words(newer), by=BY)
        return [job.id]
    older = _same(job, Job.announced_by < job.announced_by, Job.status == Status.QUEUED.value)
    found = session.scalars(older).unique().all()
    for one in found:
        queue.cancel(session, one.id, _words(job), by=BY)
    return [one.id for one in found]


def _same(job: Job, *which: ColumnElement[bool]) -> Select[Job]:
    """Jobs of the same branch that started by themselves."""
    branch = (Job.repository_id == job.repository_id, Job.ref == job.ref, Job.head_repository.is_(None))
    return select(Job).where(*branch, Job.sha != job.sha, *which).order_by(Job.announced_by.desc())


def _words(newer: Job) -> str:
    return f"Superseded by {newer.sha[:7]} (job {newer.id}), a newer commit on {newer.ref}."
