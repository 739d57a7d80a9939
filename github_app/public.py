"""Public JSON under `/api/v1`: jobs, for programs of researchers. `policy.visible` says what is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import answers, artifacts, outlook, policy, services, verdict
from github_app.answers import ApiError
from github_app.config import Settings
from github_app.jobs import Status
from github_app.models import Job, Repository

blueprint = Blueprint("public", __name__, url_prefix="/api/v1")

PAGE_MAX = 100
LOOKS_MAX = 10
"""Pages of rows looked through for one answer: most of them may be hidden from the viewer."""


class ArtifactView(BaseModel):
    """A file; `url` checks who asks and then serves it."""

    name: str
    size: int
    sha256: str
    url: str


class JobView(BaseModel):
    """A job as the API shows it.

    Attributes:
        status: `queued`, `in_progress` or `completed`, as a check run has it.
        step: Where exactly it stands: `queued`, `claimed`, `running` or `completed`.
        position: Place among the jobs that its robots will take, 1 is next; null unless queued.
        begins_in_s: Expected time until a robot takes it [s]; null unless queued, and where none can.
        waiting: Why it waits, in words for people; null unless queued.
        robot: Name of the runner that has or had it.
        sessions: What was recorded, in order (`runner.protocol.SessionResult`).
    """

    id: int
    repository: str
    sha: str
    ref: str
    pull_request: int | None
    trigger: str
    requested_by: str
    rerun_of: int | None
    status: str
    step: str
    conclusion: str | None
    reason: str | None
    position: int | None
    begins_in_s: float | None
    waiting: str | None
    attempt: int
    robot: str | None
    created_at: datetime
    claimed_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    sessions: list[dict[str, Any]]
    artifacts: list[ArtifactView]
    url: str


class JobPage(BaseModel):
    """Jobs, newest first. `next` is where to go on, or null at the end."""

    jobs: list[JobView]
    next: str | None


class JobQuery(BaseModel):
    """What `GET /api/v1/jobs` may be asked."""

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 30
    before: Annotated[int, Field(ge=1, le=(1 << 63) - 1)] | None = None
    repository: Annotated[str, Field(max_length=300, pattern=r"^[^/]+/[^/]+$")] | None = None


@blueprint.get("/jobs")
def list_jobs() -> Response:
    """The jobs the viewer may see, newest first."""
    here, viewer = services.current(), policy.viewer()
    try:
        query = JobQuery.model_validate(request.args.to_dict())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ApiError(
            422, "invalid", f"{first['loc'][0]}: {first['msg']}; see /api/v1/openapi.json"
        ) from None
    with here.db.read() as session:
        found, last = _visible(session, query, viewer)
        views = [view(session, job, here.settings) for job in found]
    following = f"{here.settings.public_url}/api/v1/jobs?limit={query.limit}&before={last}" if last else None
    if following and query.repository:
        following += f"&repository={query.repository}"
    return answers.message(JobPage(jobs=views, next=following))


@blueprint.get("/jobs/<int:job_id>")
def one_job(job_id: int) -> Response:
    """One job; a hidden one is not there."""
    here = services.current()
    with here.db.read() as session:
        job = session.get(Job, job_id)
        if job is None or not policy.visible(job, policy.viewer()):
            raise ApiError(404, "no_such_job", f"there is no job {job_id} that you may see")
        shown = view(session, job, here.settings)
    return answers.message(shown)


def view(session: Session, job: Job, settings: Settings) -> JobView:
    """One job as the API shows it."""
    status = Status(job.status)
    url = f"{settings.public_url}/jobs/{job.id}"
    waits = outlook.waiting(session, job) if status is Status.QUEUED else None
    return JobView(
        **{name: getattr(job, name) for name in _COPIED},
        repository=job.repository.full_name,
        status="in_progress" if status in {Status.CLAIMED, Status.RUNNING} else status.value,
        step=status.value,
        position=waits.position if waits else None,
        begins_in_s=waits.begins_in_s if waits else None,
        waiting=verdict.waiting(waits, tuple(job.labels)) if waits else None,
        robot=job.runner.name if job.runner else None,
        sessions=(job.results or {}).get("sessions", []),
        artifacts=[
            ArtifactView(name=row.name, size=row.size, sha256=row.sha256, url=artifacts.url_of(settings, row))
            for row in artifacts.listing(session, job)
        ],
        url=url,
    )


_COPIED = (  # noqa: SIM905 - a column of 14 strings says no more
    "id sha ref pull_request trigger requested_by rerun_of conclusion reason attempt"
    " created_at claimed_at started_at completed_at"
).split()


def _visible(session: Session, query: JobQuery, viewer: policy.Viewer) -> tuple[list[Job], int | None]:
    """At most `limit` jobs, and the number after which to go on; None at the end."""
    found: list[Job] = []
    before = query.before
    for _ in range(LOOKS_MAX):
        rows = _rows(session, query, before)
        for job in rows:
            before = job.id
            if policy.visible(job, viewer):
                found.append(job)
            if len(found) == query.limit:
                return found, before
        if len(rows) < PAGE_MAX:
            return found, None
    return found, before


def _rows(session: Session, query: JobQuery, before: int | None) -> list[Job]:
    statement = select(Job).order_by(Job.id.desc()).limit(PAGE_MAX)
    if before is not None:
        statement = statement.where(Job.id < before)
    if query.repository is not None:
        owner, _, name = query.repository.partition("/")
        statement = statement.join(Repository).where(Repository.owner == owner, Repository.name == name)
    return list(session.scalars(statement).unique())
