"""Check runs: what GitHub shows is brought to what is true, again and again until both agree.

A job is behind while `reported_event < latest_event`. Each pass takes the jobs that are behind and due under
a lease (`row_lease`, so no two processes publish one job at once), publishes the
latest state, however many events led to it, and notes the event it had read before. What happens while it
publishes is published next.

Creating a check run is not idempotent. `report_tries` is raised before the request, so whoever comes after
a lost answer or a crash finds it above zero, and first looks for the check run by its `external_id`, which is
the job's id.
GitHub being away only delays: each failure doubles the pause, a rate limit is waited for.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from github_app import buttons, comparison, job_view, plans, records, services, summary
from github_app.comparison import Comparison
from github_app.github import GitHubError, GitHubUnavailableError, NotFoundError, RateLimitedError
from github_app.job_view import JobView
from github_app.jobs import Status
from github_app.models import Job
from github_app.row_lease import RowLease, pause
from github_app.services import Services

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
"""Longer than creating a check run takes, with a new token and both time limits; renewed just before."""
BATCH = 8
AT_ONCE = 4
PAUSE_MAX = timedelta(minutes=10)
REFUSED_TRIES_MAX = 12
"""Tries at a job for which GitHub says no (the commit is gone, the App was removed): some hours. Then it is
left as it is, and the next event begins anew."""


@dataclass(frozen=True)
class Taken:
    """A job under our lease (until `lease`), its state read when the lease was taken."""

    job: Job
    view: JobView
    beside: Comparison | None
    event: int
    first_try: bool
    lease: datetime


LEASES = RowLease(
    table=Job,
    waiting=Job.reported_event < Job.latest_event,
    due=Job.next_report_at,
    tries=Job.report_tries,
    lasts=LEASE,
    batch=BATCH,
)


def reconcile(app: Flask) -> int:
    """Publish the jobs whose check run is behind and due.

    Returns:
        How many were taken.
    """
    here = services.of(app)
    taken = _take(here)
    if taken:
        with ThreadPoolExecutor(min(AT_ONCE, len(taken))) as pool:
            list(pool.map(partial(_publish, here), taken))
    return len(taken)


def _take(here: Services) -> list[Taken]:
    leased = {job.id: job for job in LEASES.take(here.db)}
    if not leased:
        return []
    # What there is to show is read without the rows' locks: a runner may want to claim these jobs.
    with here.db.read() as session:
        jobs = session.scalars(select(Job).where(Job.id.in_(leased)).order_by(Job.id)).unique().all()
        return [
            Taken(
                job=job,
                view=job_view.load(session, job, here.settings),
                beside=comparison.load(session, job),
                event=job.latest_event,
                first_try=leased[job.id].report_tries == 1,
                lease=leased[job.id].next_report_at,
            )
            for job in jobs
        ]


def _publish(here: Services, taken: Taken) -> None:
    job = taken.job
    try:
        # Whoever asked for it at /submit may have no right to write into this repository's checks.
        if job.repository.installation_id == records.UNINSTALLED or job.trigger == plans.WEB:
            _settle(here, taken)
            return
        # Progress may wait for the budget; a new check run and a final one are what people wait for.
        urgent = job.check_run_id is None or taken.view.status is Status.COMPLETED
        if (until := here.limits.spend(job.repository.installation_id, urgent=urgent)) is not None:
            LEASES.put_off(here.db, job.id, until, report_tries=Job.report_tries - 1)
        elif _bring_up_to_date(here, taken):
            _settle(here, taken)
            shown = taken.view.conclusion or taken.view.status
            log.info("job %s: its check run shows %s", job.id, shown.value)
    except GitHubError as error:
        log.warning("job %s: its check run: %s", job.id, error)
        _later(here, taken, error)
    except Exception as error:
        log.exception("job %s: its check run", job.id)
        _later(here, taken, error)


def _bring_up_to_date(here: Services, taken: Taken) -> bool:
    """Create or update the one check run of this job. False where another process has taken it over."""
    job, repository = taken.job, taken.job.repository
    found = job.check_run_id
    if found is None and not taken.first_try:
        found = here.github.find_check_run(repository, job.sha, str(job.id))
    if found is None:
        if not LEASES.renew(here.db, job.id, taken.lease):  # nobody else may create it while we do
            return False
        body = {**payload(taken.view, taken.beside), "head_sha": job.sha, "external_id": str(job.id)}
        _remember(here, job.id, here.github.create_check_run(repository, body))
        return True
    if job.check_run_id is None:
        _remember(here, job.id, found)
    body = payload(taken.view, taken.beside)
    # Annotations are added, never replaced: they are sent once, whatever was repeated before.
    if body["output"].get("annotations") and here.github.has_annotations(repository, found):
        del body["output"]["annotations"]
    try:
        here.github.update_check_run(repository, found, body)
    except NotFoundError:
        # It is gone, or the repository is: the next try looks for it, and makes a new one if need be.
        _forget(here, job.id)
        raise
    return True


def payload(view: JobView, beside: Comparison | None = None) -> dict[str, Any]:
    """The state of a check run, as GitHub's API wants it."""
    output = asdict(summary.output(view, beside))
    output["annotations"] = list(output["annotations"])
    body: dict[str, Any] = {
        "name": summary.check_name(view),
        "details_url": view.url,
        "output": {key: value for key, value in output.items() if value},
        "actions": [asdict(button) for button in buttons.shown(view.status, view.conclusion)],
    }
    if view.started_at is not None:
        body["started_at"] = _time(view.started_at)
    if view.status is not Status.COMPLETED:
        return {**body, "status": "queued" if view.status is Status.QUEUED else "in_progress"}
    assert view.conclusion is not None  # noqa: S101  # the transition table sees to it
    ended = _time(view.completed_at or datetime.now(UTC))
    return {**body, "status": "completed", "conclusion": view.conclusion.value, "completed_at": ended}


def _remember(here: Services, job_id: int, check_run: int) -> None:
    with here.db.write() as session:
        session.execute(
            update(Job).where(Job.id == job_id, Job.check_run_id.is_(None)).values(check_run_id=check_run)
        )


def _forget(here: Services, job_id: int) -> None:
    with here.db.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(check_run_id=None))


def _settle(here: Services, taken: Taken) -> None:
    """It is published; what happened since is due at once, and so is whose check run shows its result."""
    now = datetime.now(UTC)
    with here.db.write() as session:
        settled = session.scalar(
            update(Job)
            .where(Job.id == taken.job.id, Job.reported_event < taken.event)
            .values(reported_event=taken.event, report_tries=0, next_report_at=now)
            .returning(Job.id)
        )
        others = comparison.beside(session, taken.job) if settled is not None else []
        if others:
            behind = update(Job).where(Job.id.in_(others), Job.reported_event == Job.latest_event)
            session.execute(behind.values(reported_event=0, next_report_at=now))
            here.db.wake(session, "checks")


def _later(here: Services, taken: Taken, error: Exception) -> None:
    tries = taken.job.report_tries
    refused = isinstance(error, GitHubError) and not isinstance(error, GitHubUnavailableError)
    if refused and tries >= REFUSED_TRIES_MAX:
        log.error("job %s: its check run is given up after %s tries: %s", taken.job.id, tries, error)
        _settle(here, taken)
        return
    due = datetime.now(UTC) + pause(tries, PAUSE_MAX)
    if isinstance(error, RateLimitedError):
        due = max(due, error.until)
    LEASES.put_off(here.db, taken.job.id, due)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
