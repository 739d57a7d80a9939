"""The pages people look at: the queue, a job, its log, and errors. Rendered here, readable without a script.

Everything is escaped by Jinja, texts of strangers go through `user_text` first, and the content security
policy would stop what slipped through: no scripts, nothing from elsewhere. A job that its viewer may not
see is answered like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from github_app import answers, job_view, joblog, policy, services, verdict
from github_app.db import Database
from github_app.job_view import JobView
from github_app.jobs import Status
from github_app.models import Job, Repository, Runner
from github_app.summary import advice, metrics
from github_app.user_text import one_line, plain
from runner.protocol import RobotReport

blueprint = Blueprint("pages", __name__)

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
ROWS_MAX = 25
LOG_BYTES_SHOWN = 48 * 1024
LOG_LINES_SHOWN = 500
LOG_PIECE = 256 * 1024
NUMBER_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Row:
    """A job in a list."""

    id: int
    state: str
    title: str
    repository: str
    sha: str
    since: datetime


@dataclass(frozen=True)
class Part:
    """A stretch of a job's life: `state` is done, now, ahead, or how it ended."""

    name: str
    note: str
    state: str


@blueprint.get("/")
def queue() -> ResponseReturnValue:
    """The queue and the robots."""
    here = services.current()
    with here.db.read() as session:
        running = _rows(session, Job.status.in_([Status.CLAIMED.value, Status.RUNNING.value]), Job.claimed_at)
        waiting = _rows(session, Job.status == Status.QUEUED.value, Job.order_key)
        recent = _rows(session, Job.status == Status.COMPLETED.value, Job.id.desc())
        robots = _robots(session)
    sections = [
        {"title": "Running", "jobs": running, "none": "No robot is moving."},
        {"title": "Waiting", "jobs": waiting, "none": "Nothing waits."},
        {"title": "Recent", "jobs": recent, "none": "Nothing has run yet."},
    ]
    headline = f"{_count(running, 'running')}, {_count(waiting, 'waiting')}"
    return render_template("queue.html", sections=sections, robots=robots, headline=headline)


@blueprint.get("/jobs/<int:job_id>")
def job(job_id: int) -> ResponseReturnValue:
    """One job."""
    here = services.current()
    with here.db.read() as session:
        found = _visible(session, job_id)
        view = job_view.load(session, found, here.settings, log_max=LOG_BYTES_SHOWN)
        lines = plain(view.log).removesuffix("\n").split("\n")[-LOG_LINES_SHOWN:] if view.log else []
        first_line = _lines(session, found) - len(lines) + 1 if lines else 1
    sessions = view.finish.sessions if view.finish else []
    return render_template(
        "job.html",
        view=view,
        title=verdict.title(view),
        state_name=_state(found),
        advice=advice(view).replace("`", ""),
        timeline=timeline(view),
        sessions=[{"rows": metrics(one), "notes": one.interventions[:20]} for one in sessions],
        lines=lines,
        first_line=max(1, first_line),
        robot=_robot(view),
    )


@blueprint.get("/jobs/<int:job_id>/log")
def log(job_id: int) -> ResponseReturnValue:
    """The whole log as text."""
    here = services.current()
    with here.db.read() as session:
        found = _visible(session, job_id)
    pieces = (plain(piece.decode(errors="replace")).encode() for piece in _pieces(here.db, found))
    return Response(pieces, mimetype="text/plain")


def timeline(view: JobView) -> list[Part]:
    """Queued, prepared, ran, with how long each took."""
    ended = view.completed_at
    marks = [
        ("Queued", view.created_at, view.claimed_at or ended),
        ("Prepared", view.claimed_at, view.started_at or ended),
        ("Ran", view.started_at, ended),
    ]
    parts = [_part(name, start, end) for name, start, end in marks if start is not None or ended is None]
    if ended is not None and view.conclusion is not None:
        name = view.conclusion.value.replace("_", " ").capitalize()
        parts.append(Part(name, moment(ended), f"state-{view.conclusion.value}"))
    return parts


def _part(name: str, start: datetime | None, end: datetime | None) -> Part:
    if start is None:
        return Part(name, "not yet", "ahead")
    if end is None:
        return Part(name, f"since {moment(start)}", "now")
    return Part(name, verdict.duration((end - start).total_seconds()), "done")


def _visible(session: Session, job_id: int) -> Job:
    found = session.get(Job, job_id) if job_id <= NUMBER_MAX else None
    if found is None or not policy.visible(found, policy.viewer()):
        abort(404)
    return found


def _rows(session: Session, which: ColumnElement[bool], order: Any) -> list[Row]:
    """The first jobs of a kind that may be seen."""
    settings = services.current().settings
    query = select(Job).join(Repository).where(which, policy.visible_rows(policy.viewer()))
    found = session.scalars(query.order_by(order).limit(ROWS_MAX)).unique().all()
    rows = []
    for job in found:
        view = job_view.load(session, job, settings, brief=True)
        since = job.completed_at or job.started_at or job.claimed_at or job.created_at
        rows.append(Row(job.id, _state(job), verdict.title(view), job.repository.full_name, job.sha, since))
    return rows


def _state(job: Job) -> str:
    return job.conclusion or job.status


def _count(rows: list[Row], what: str) -> str:
    return f"{len(rows)}{'+' if len(rows) == ROWS_MAX else ''} {what}"


def _robots(session: Session) -> list[dict[str, Any]]:
    runners = session.scalars(select(Runner).where(Runner.revoked_at.is_(None)).order_by(Runner.name))
    return [
        {"name": runner.name, "labels": runner.labels, "state": _robot_state(runner)}
        for runner in runners
        if runner.token_hash is not None
    ]


def _robot_state(runner: Runner) -> str:
    now = datetime.now(UTC)
    if runner.seen_at is None or runner.robot is None:
        return "never heard of"
    if now - runner.seen_at >= job_view.ONLINE:
        return f"offline since {moment(runner.seen_at)}"
    report = RobotReport.model_validate(runner.robot)
    word = "ready" if report.healthy else "not fit to run"
    return one_line(f"{word}: {report.message}" if report.message else word, 200)


def _robot(view: JobView) -> str:
    session = verdict.first_session(view)
    if session is not None:
        return f"{session.robot}, passport {session.passport}"
    return view.runner or f"any with {', '.join(view.robot)}"


def _lines(session: Session, job: Job) -> int:
    """How many lines the whole log has."""
    count, start, last = 0, 0, b"\n"
    while piece := joblog.read(session, job, start=start, size=1 << 20):
        count += piece.count(b"\n")
        start += len(piece)
        last = piece[-1:]
    return count + (last != b"\n")


def _pieces(database: Database, job: Job) -> Iterator[bytes]:
    """The log in pieces that end with a line, each read on its own: a slow reader holds no connection."""
    start = 0
    while True:
        with database.read() as session:
            piece = joblog.read(session, job, start=start, size=LOG_PIECE)
        if not piece:
            return
        whole = piece[: piece.rfind(b"\n") + 1] or piece
        start += len(whole if len(piece) == LOG_PIECE else piece)
        yield whole if len(piece) == LOG_PIECE else piece


@blueprint.app_template_filter("moment")
def moment(at: datetime) -> str:
    """A time for people, in UTC."""
    form = "%d %b %Y, %H:%M" if datetime.now(UTC) - at > timedelta(days=300) else "%d %b, %H:%M:%S"
    return at.astimezone(UTC).strftime(form)


blueprint.add_app_template_filter(one_line, "shown")


@blueprint.after_app_request
def guard(response: Response) -> Response:
    """What browsers are told about every answer that does not say otherwise itself."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


_ERRORS = {
    404: ("There is nothing here", "The address may be mistyped, or what was here may not be shown to you."),
    405: ("That is not done here", "The address is right, but not for this kind of request."),
    413: ("That is too long", "Send less at once."),
    500: ("The server made a mistake", "It was written to the server's log. Try again in a while."),
}


@blueprint.app_errorhandler(HTTPException)
def error(problem: HTTPException) -> ResponseReturnValue:
    """An error as a page, or as JSON where programs ask."""
    status = problem.code or 500
    title, help_ = _ERRORS.get(status, (problem.name, problem.description or ""))
    if answers.wants_json():
        return answers.failure(status, problem.name.lower().replace(" ", "_"), f"{title}. {help_}")
    return render_template("error.html", status=status, title=title, advice=help_), status
