"""What waits too long is ended with clear words, and what GitHub does not show yet is shown after all.

A queued job that no robot took within `RAAS_QUEUED_MAX_DAYS` is cancelled, an approval that nobody gave
within the same time is not waited for any more. A job of the last day without a check run (GitHub refused it
for hours: the App's permissions were missing, say) is put before the reconciler again.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import select, update

from github_app import plans, queue, row_lease
from github_app.jobs import EventKind, Status
from github_app.models import Job, Repository
from github_app.moves import locked, move, utc_now
from github_app.records import UNINSTALLED
from github_app.services import Services
from runner.protocol import Conclusion

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=5)
LOOK_EVERY = timedelta(minutes=30)
LOOK_BACK = timedelta(days=1)
BATCH = 50
SERVER = "the server"


def sweep(here: Services, *, now: datetime | None = None) -> int:
    """One pass, if it is due and this process's turn.

    Returns:
        How many jobs were touched.
    """
    now = now or utc_now()
    done = 0
    if here.settings.queued_max_s is not None and row_lease.turn(here.db, "expiry", EVERY):
        before = now - timedelta(seconds=here.settings.queued_max_s)
        done += _expire_queued(here, before, now) + _expire_held(here, before, now)
    if row_lease.turn(here.db, "missing check runs", LOOK_EVERY):
        done += _show_again(here, now)
    return done


def _expire_queued(here: Services, before: datetime, now: datetime) -> int:
    query = select(Job).where(Job.status == Status.QUEUED.value, Job.created_at < before)
    with here.db.read() as session:
        old = session.scalars(query.order_by(Job.id).limit(BATCH)).unique().all()
    for job in old:
        wanted = " + ".join(job.config.get("robot") or job.labels)
        reason = (
            f"No robot with the labels {wanted} could take it for {_days(here)}, so it was given up;"
            " run it again when there is one."
        )
        with here.db.write() as session:
            if session.get_one(Job, job.id).status == Status.QUEUED.value:
                queue.cancel(session, job.id, reason, by=SERVER, now=now)
    return len(old)


def _expire_held(here: Services, before: datetime, now: datetime) -> int:
    query = select(Job.id).where(
        Job.status == Status.COMPLETED.value,
        Job.conclusion == Conclusion.ACTION_REQUIRED.value,
        Job.created_at < before,
    )
    with here.db.read() as session:
        old = session.scalars(query.order_by(Job.id).limit(BATCH)).all()
    for job_id in old:
        with here.db.write() as session:
            job = locked(session, job_id)
            if job.conclusion != Conclusion.ACTION_REQUIRED.value:
                continue
            job.reason = (
                f"Nobody approved it for {_days(here)}; comment `/raas run` with the commit to run it."
            )
            move(session, job, EventKind.EXPIRED, now=now, conclusion=Conclusion.CANCELLED, by=SERVER)
    return len(old)


def _days(here: Services) -> str:
    days = (here.settings.queued_max_s or 0.0) / 86400
    return f"{days:g} day{'' if days == 1 else 's'}"


def _show_again(here: Services, now: datetime) -> int:
    """Jobs that were given up without a check run. They count as tried, so that it is looked for first."""
    query = (
        select(Job.id)
        .join(Repository)
        .where(
            Job.check_run_id.is_(None),
            Job.created_at > now - LOOK_BACK,
            Job.reported_event >= Job.latest_event,
            Repository.installation_id != UNINSTALLED,
            Job.trigger != plans.WEB,
        )
        .order_by(Job.id)
        .limit(BATCH)
    )
    with here.db.write() as session:
        found = session.scalars(query).all()
        again = update(Job).where(Job.id.in_(found))
        session.execute(again.values(reported_event=0, report_tries=1, next_report_at=now))
    if found:
        log.warning("jobs without a check run are published again: %s", ", ".join(map(str, found)))
    return len(found)
