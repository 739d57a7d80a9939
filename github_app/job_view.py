"""A job as people see it: one immutable value from which the check run and the page are both made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import artifacts, joblog, outlook, previews
from github_app.config import Settings
from github_app.jobs import Status
from github_app.models import Job, JobEvent
from github_app.outlook import Waiting
from github_app.previews import Preview
from runner.protocol import Conclusion, Finish

LOG_TAIL_MAX = 64 * 1024
"""Bytes of log that are looked at for a check run."""
CUT_NOTE_MAX = 200
"""Longest note with which the server ends a log that reached its limit, bytes."""


@dataclass(frozen=True)
class FileError:
    """What is wrong with `.raas.yml`, and where."""

    message: str
    path: str
    line: int


@dataclass(frozen=True)
class Link:
    """An artifact: its name, length in bytes and address, and what a page shows of it."""

    name: str
    size: int
    url: str
    preview: Preview | None = None


@dataclass(frozen=True)
class Step:
    """Something that happened to the job."""

    at: datetime
    kind: str
    note: str


@dataclass(frozen=True)
class JobView:
    """Everything shown of a job. Texts are as they came: whoever shows them makes them harmless.

    Attributes:
        robot: What its `.raas.yml` asks for, the kind first.
        finish: The runner's last words, once there are any.
        log: The end of the log.
    """

    id: int
    url: str
    repository: str
    commit_url: str
    private: bool
    sha: str
    ref: str
    pull_request: int | None
    trigger: str
    requested_by: str
    robot: tuple[str, ...]
    timeout_s: float
    status: Status
    conclusion: Conclusion | None
    lost: bool
    reason: str
    cancel_reason: str
    config_error: FileError | None
    attempt: int
    phase: str
    runner: str | None
    created_at: datetime
    claimed_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    waiting: Waiting | None
    finish: Finish | None
    log: str
    artifacts: tuple[Link, ...]
    steps: tuple[Step, ...]
    files_removed_at: datetime | None = None


def load(
    session: Session, job: Job, settings: Settings, *, log_max: int = LOG_TAIL_MAX, brief: bool = False
) -> JobView:
    """The job as it is in this transaction.

    Args:
        session: Any transaction.
        job: Read in it.
        settings: For addresses.
        log_max: Bytes of the log's end to include.
        brief: Without log, artifacts and steps: enough for a line in a list.
    """
    url = f"{settings.public_url}/jobs/{job.id}"
    web = f"{settings.github_web_url}/{job.repository.full_name}"
    return JobView(
        id=job.id,
        url=url,
        repository=job.repository.full_name,
        commit_url=f"{web}/commit/{job.sha}",
        private=job.repository.private,
        sha=job.sha,
        ref=job.ref,
        pull_request=job.pull_request,
        trigger=job.trigger,
        requested_by=job.requested_by,
        robot=tuple(job.config.get("robot") or job.labels),
        timeout_s=job.timeout_s,
        status=Status(job.status),
        conclusion=Conclusion(job.conclusion) if job.conclusion else None,
        lost=job.lost,
        reason=job.reason or "",
        cancel_reason=job.cancel_reason or "",
        config_error=FileError(**job.config_error) if job.config_error else None,
        attempt=job.attempt,
        phase=job.phase,
        runner=job.runner.name if job.runner else None,
        created_at=job.created_at,
        claimed_at=job.claimed_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        waiting=outlook.waiting(session, job) if job.status == Status.QUEUED.value else None,
        finish=_finish(job),
        log="" if brief else log_tail(session, job, log_max, settings),
        artifacts=() if brief else _artifacts(session, job, url),
        steps=() if brief else _steps(session, job),
        files_removed_at=job.files_removed_at,
    )


def _artifacts(session: Session, job: Job, url: str) -> tuple[Link, ...]:
    files = artifacts.listing(session, job)
    shown = previews.of_files(session, files)
    return tuple(
        Link(file.name, file.size, f"{url}/artifacts/{quote(file.name)}", shown.get(file.id))
        for file in files
    )


def log_tail(session: Session, job: Job, size: int, settings: Settings) -> str:
    """The end of the log, at most `size` bytes, beginning with a whole line where it was cut."""
    # `log_length` counts what was dropped beyond the limit too.
    start = max(0, min(job.log_length, settings.log_bytes_max) - size)
    text = joblog.read(session, job, start=start, size=size + CUT_NOTE_MAX).decode(errors="replace")
    return text.partition("\n")[2] or text if start else text


def _finish(job: Job) -> Finish | None:
    """The runner's last words, unless an older server stored them in another form."""
    if job.results is None:
        return None
    try:
        return Finish.model_validate({**job.results, "fence": ""})
    except ValidationError:
        return None


def _steps(session: Session, job: Job) -> tuple[Step, ...]:
    events = session.scalars(select(JobEvent).where(JobEvent.job_id == job.id).order_by(JobEvent.id))
    return tuple(Step(event.at, event.kind, note(event)) for event in events)


def note(event: JobEvent) -> str:
    """The detail of an event that people want to see."""
    words = ("runner", "on {}"), ("conclusion", "{}"), ("why", "{}"), ("reason", "{}"), ("by", "by {}")
    return next((form.format(event.data[key]) for key, form in words if event.data.get(key)), "")
