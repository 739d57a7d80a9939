"""What a delivery comes to, and how jobs that it asks for are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import allowance, queue, records, superseding
from github_app.config import Settings
from github_app.models import Job, Repository
from github_app.queue import JobRequest, Refusal
from github_app.services import Services
from runner.protocol import Conclusion

WEB = "web"
"""The trigger of jobs from `/submit`, and of their re-runs: they are shown on our pages, not at GitHub."""


@dataclass(frozen=True)
class Plan:
    """What a delivery comes to, before it is stored.

    Attributes:
        outcome: A sentence for the delivery's row.
        store: What else to write, in the transaction that marks the delivery processed.
        afterwards: What to do once that is committed; nobody depends on it.
    """

    outcome: str
    store: Callable[[Session], object] = lambda session: None
    afterwards: Callable[[], object] = lambda: None


def automatic_key(repository: Repository, sha: str) -> str:
    """The trigger key of the one job that a commit starts by itself, however many events announce it."""
    return f"auto:{repository.id}:{sha}"


def held_key(repository: Repository, sha: str) -> str:
    """The trigger key of the one job that waits for approval of a commit from elsewhere."""
    return f"held:{repository.id}:{sha}"


def known(here: Services, *keys: str) -> Job | None:
    """A job of one of these trigger keys, if there is one."""
    with here.db.read() as session:
        return session.scalars(select(Job).where(Job.trigger_key.in_(keys)).limit(1)).unique().first()


def held(head_repository: str | None) -> Refusal:
    """The refusal of a job that waits for approval."""
    return Refusal(
        Conclusion.ACTION_REQUIRED,
        f"Waiting for approval: the commit comes from {head_repository or 'a fork that is gone'}. "
        "Somebody with write permission has to look at it and press Approve run.",
    )


def remember_and_submit(
    settings: Settings, repository: Repository, requests: Iterable[JobRequest], session: Session
) -> None:
    """Store a repository as it is now, and jobs of it."""
    records.remember(session, settings, repository)
    for request in requests:
        superseding.supersede(session, queue.submit(session, request, queued_max=settings.queued_max))


def once_more(
    session: Session, settings: Settings, job: Job, *, trigger: str, trigger_key: str, by: str
) -> JobRequest:
    """The request for the same commit of the same repository as a new job, within the limits of today."""
    most = allowance.limits(session, settings)
    error = job.config_error
    return JobRequest(
        repository_id=job.repository_id,
        trigger=trigger,
        trigger_key=trigger_key,
        requested_by=by,
        sha=job.sha,
        ref=job.ref,
        config=job.config,
        labels=job.labels,
        timeout_s=min(job.timeout_s, most.timeout_max_s),
        sessions=min(job.sessions, most.sessions_max),
        pull_request=job.pull_request,
        base_branch=job.base_branch,
        head_repository=job.head_repository,
        rerun_of=job.id,
        config_error=error,
        owner=job.owner or None,
        refusal=Refusal(Conclusion.FAILURE, f"{error['path']} line {error['line']}: {error['message']}")
        if error
        else None,
    )
