"""Retention: logs, artifacts and webhook deliveries are kept for a time, then given up; jobs themselves stay.
The files of a run on the leaderboard stay until a better one takes its place: each score has its replay.

A job's files go in steps. First, in one transaction, the job says so and its log is gone; from then on no
page offers the files. Then they are removed from the store, and last their rows. A row is there for as long
as its file may be, so a process that dies between two steps leaves the rest to the next sweep of any server
process.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from github_app.db import Database
from github_app.jobs import Status
from github_app.logs import about
from github_app.models import Artifact, Best, Delivery, Job, LogChunk, RateLimit, WebSession
from github_app.moves import utc_now
from github_app.services import Services
from github_app.stores import StoreError

log = logging.getLogger(__name__)

INTERVAL_S = 600.0
BATCH = 50
"""Jobs in a transaction; deliveries are small, ten times as many go at once."""
COUNTS_KEPT = timedelta(days=7)


def sweep(here: Services, *, now: datetime | None = None) -> int:
    """Give up what is too old, one batch of each kind.

    Returns:
        How many things were given up; there may be more to do unless it is 0.
    """
    now = now or utc_now()
    settings = here.settings
    done = 0
    if settings.keep_deliveries_s is not None:
        with here.db.write() as session:
            done += _drop_deliveries(session, now - timedelta(seconds=settings.keep_deliveries_s))
    if settings.keep_s is not None:
        with here.db.write() as session:
            done += _give_up(session, here.db, now - timedelta(seconds=settings.keep_s), now)
    with here.db.write() as session:
        done += _drop_expired(session, now)
    return done + _remove_files(here)


def _drop_expired(session: Session, now: datetime) -> int:
    """Sessions of the pages that have run out, and counts of installations that wrote nothing for long."""
    ended = session.execute(
        delete(WebSession).where(WebSession.expires_at <= now).returning(WebSession.token_hash)
    )
    unused = session.execute(
        delete(RateLimit)
        .where(RateLimit.hour < (now - COUNTS_KEPT).timestamp() // 3600)
        .where(or_(RateLimit.blocked_until.is_(None), RateLimit.blocked_until < now - COUNTS_KEPT))
        .returning(RateLimit.installation_id)
    )
    return len(ended.all()) + len(unused.all())


def _drop_deliveries(session: Session, before: datetime) -> int:
    """Deliveries that were worked on; one that could not be is kept, and so are its reasons."""
    old = (
        select(Delivery.id)
        .where(Delivery.processed_at < before)
        .order_by(Delivery.id)
        .limit(10 * BATCH)
        .scalar_subquery()
    )
    dropped = session.execute(delete(Delivery).where(Delivery.id.in_(old)).returning(Delivery.id))
    return len(dropped.all())


def _give_up(session: Session, db: Database, before: datetime, now: datetime) -> int:
    old = (
        select(Job)
        .where(
            Job.status == Status.COMPLETED.value,
            Job.completed_at < before,
            Job.files_removed_at.is_(None),
            Job.id.not_in(select(Best.job_id)),
        )
        .order_by(Job.completed_at)
        .limit(BATCH)
    )
    jobs = list(session.scalars(db.skip_locked(old)).unique())
    for job in jobs:
        job.files_removed_at = now
    session.execute(delete(LogChunk).where(LogChunk.job_id.in_([job.id for job in jobs])))
    return len(jobs)


def _remove_files(here: Services) -> int:
    with here.db.read() as session:
        given_up = select(Artifact.job_id).join(Job, Job.id == Artifact.job_id).distinct()
        jobs = list(session.scalars(given_up.where(Job.files_removed_at.is_not(None)).limit(BATCH)))
    removed = 0
    for job_id in jobs:
        try:
            here.store.remove_job(job_id)
        except StoreError as error:
            log.warning("%s", error, extra=about(job_id))  # the rows stay, so the next sweep tries again
            continue
        with here.db.write() as session:
            session.execute(delete(Artifact).where(Artifact.job_id == job_id))
        removed += 1
    return removed
