"""What a reply to a comment says of jobs, and which jobs a comment may mean: those of its own repository."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from github_app import job_view, verdict
from github_app.jobs import Status
from github_app.models import Job, Repository
from github_app.services import Services
from github_app.user_text import inline

SHOWN_MAX = 10
"""Jobs in an answer to `/raas status`, the newest first."""
CANCEL_MAX = 100
"""Jobs that one `/raas cancel` ends."""


def status(here: Services, repository: Repository, pull_request: int) -> str:
    """How the jobs of a pull request stand, as Markdown."""
    with here.db.read() as session:
        jobs = session.scalars(
            select(Job).where(*_of_pull(repository, pull_request)).order_by(Job.id.desc()).limit(SHOWN_MAX)
        ).unique()
        rows = [_row(session, here, job) for job in jobs]
    if not rows:
        return "This pull request has no jobs yet. `/raas run` makes one."
    return "\n".join(["| job | commit | state |", "|---|---|---|", *rows])


def _row(session: Session, here: Services, job: Job) -> str:
    view = job_view.load(session, job, here.settings, brief=True)
    return f"| [{job.id}]({view.url}) | {job.sha[:10]} | {inline(verdict.title(view), 200)} |"


def unfinished(here: Services, repository: Repository, pull_request: int, job: int | None) -> list[int]:
    """The jobs that `/raas cancel [job]` on a pull request means, as far as they are not over."""
    with here.db.read() as session:
        which = _of_pull(repository, pull_request) if job is None else _one(repository, job)
        query = select(Job.id).where(*which, Job.status != Status.COMPLETED.value)
        return list(session.scalars(query.order_by(Job.id).limit(CANCEL_MAX)))


def nothing_to_cancel(job: int | None) -> str:
    """Why a cancellation came to nothing."""
    if job is None:
        return "Nothing waits or runs for this pull request. `/raas status` shows its jobs."
    return f"Job {job} is none of this repository that waits or runs. `/raas status` shows the jobs."


def elsewhere(here: Services, repository: Repository, ref: str, sha: str) -> str:
    """Where the result of a run of another branch will be."""
    page = f"{here.settings.github_web_url}/{repository.full_name}/commit/{sha}"
    return f"`{ref}` is at [{sha[:10]}]({page}); the result appears there, as a check of that commit."


def _one(repository: Repository, job: int) -> list[ColumnElement[bool]]:
    return [Job.repository_id == repository.id, Job.id == job]


def _of_pull(repository: Repository, number: int) -> list[ColumnElement[bool]]:
    return [Job.repository_id == repository.id, Job.pull_request == number]
