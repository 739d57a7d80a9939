"""The pages people look at: the queue, a job, its log, and errors. Rendered here, readable without a script.

Everything is escaped by Jinja, texts of strangers go through `user_text` first, and the content security
policy would stop what slipped through: no scripts but ours, nothing from elsewhere. A job that its viewer may
not see is answered like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, abort, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from github_app import (
    answers,
    job_actions,
    job_page,
    job_view,
    joblog,
    log_lines,
    log_times,
    policy,
    queue_page,
    services,
    story,
)
from github_app.db import Database
from github_app.models import Job
from github_app.plots import plotted
from github_app.user_text import one_line, plain
from github_app.wording import ago, moment

blueprint = Blueprint("pages", __name__)

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'{files}; "
    "media-src 'self'{files}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
LOG_BYTES_SHOWN = 48 * 1024
LOG_LINES_SHOWN = 500
LOG_PIECE = 256 * 1024
NUMBER_MAX = (1 << 63) - 1


@blueprint.get("/")
def queue() -> ResponseReturnValue:
    """The queue and the robots."""
    here = services.current()
    with here.db.read() as session:
        shown = queue_page.context(session, here.settings, policy.viewer())
    return render_template("queue.html", **shown)


@blueprint.get("/jobs/<int:job_id>")
def job(job_id: int) -> ResponseReturnValue:
    """One job."""
    here = services.current()
    with here.db.read() as session:
        found = _visible(session, job_id)
        view = job_view.load(session, found, here.settings, log_max=0)
        excerpt = log_excerpt(session, found)
    parts = job_page.head(view) | job_page.results(view)
    actions = job_actions.offered(found)
    over = job_page.is_over(view)
    return render_template(
        "job.html", **parts, log=excerpt, over=over, replayable=over and plotted(view), actions=actions
    )


@dataclass(frozen=True)
class LogExcerpt:
    """The end of a log as a page begins with it.

    Attributes:
        moments: When each line was written: session and time [s] in it, or None.
        start: Where it begins [bytes].
        first_line: The number of its first line.
        cursor: How far it goes: where the live stream takes over.
    """

    lines: list[log_lines.Line]
    moments: log_times.Moments
    start: int
    first_line: int
    cursor: story.Cursor

    @property
    def timed(self) -> bool:
        """Whether any line's time is known."""
        return any(self.moments)


def log_excerpt(session: Session, job: Job) -> LogExcerpt:
    """The last `LOG_LINES_SHOWN` lines, `LOG_BYTES_SHOWN` at most."""
    end = story.tail(session, job, numbered=True)
    start = max(0, end.offset - LOG_BYTES_SHOWN)
    raw, marks = joblog.read_timed(session, job, start=start, size=end.offset - start)
    if start:
        raw = raw.partition(b"\n")[2] or raw
    whole = raw.removesuffix(b"\n")
    if whole.count(b"\n") >= LOG_LINES_SHOWN:
        raw = raw[len(whole) - len(b"\n".join(whole.rsplit(b"\n", LOG_LINES_SHOWN)[1:])) :]
    start, shown = end.offset - len(raw), log_lines.lines(raw)
    moments = log_times.by_line(raw, start, marks, len(shown))
    return LogExcerpt(shown, moments, start, end.line - raw.count(b"\n"), end)


@blueprint.get("/jobs/<int:job_id>/log")
def log(job_id: int) -> ResponseReturnValue:
    """The whole log as text."""
    here = services.current()
    with here.db.read() as session:
        found = _visible(session, job_id)
    if found.files_removed_at is not None:
        abort(410)
    pieces = (plain(piece.decode(errors="replace")).encode() for piece in _pieces(here.db, found))
    return Response(pieces, mimetype="text/plain")


def _visible(session: Session, job_id: int) -> Job:
    found = session.get(Job, job_id) if job_id <= NUMBER_MAX else None
    if found is None or not policy.visible(found, policy.viewer()):
        abort(404)
    return found


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


blueprint.add_app_template_filter(ago, "ago")
blueprint.add_app_template_filter(moment, "moment")
blueprint.add_app_template_filter(one_line, "shown")


def content_policy(files: str) -> str:
    """What pages may do: nothing from elsewhere, but pictures and films of the artifact store at `files`."""
    return POLICY.format(files=f" {files}" if files else "")


@blueprint.after_app_request
def guard(response: Response) -> Response:
    """What an answer may do in a browser, unless it says so itself (`browser_headers` has what is fixed)."""
    response.headers.setdefault("Content-Security-Policy", content_policy(services.current().store.origin))
    return response


_ERRORS = {
    400: ("That was not understood", "Go back, load the page again and send the form once more."),
    403: ("You may not do that", "Sign in as somebody who may, or ask the host of the robot."),
    404: (
        "There is nothing here",
        "The address may be mistyped. Or only people who can read a private repository see it: then sign in.",
    ),
    405: ("That is not done here", "The address is right, but not for this kind of request."),
    410: (
        "It was removed",
        "Logs and files are kept for a time after a job has ended. The job's page still says how it went.",
    ),
    413: ("That is too long", "Send less at once."),
    429: ("You ask too often", "Wait a minute, then go on."),
    500: ("The server made a mistake", "It was written to the server's log. Try again in a while."),
    502: ("GitHub did not answer as it should", "Nothing was changed. Try again in a while."),
    503: (
        "The server cannot do that now",
        "It is busy, or about to restart. Your jobs are kept. Try again in a minute.",
    ),
}


@blueprint.app_errorhandler(HTTPException)
def error(problem: HTTPException) -> ResponseReturnValue:
    """An error as a page, or as JSON where programs ask."""
    status = problem.code or 500
    title, help_ = _ERRORS.get(status, (problem.name, problem.description or ""))
    if status in {400, 403, 503} and problem.description != type(problem).description:
        help_ = problem.description or help_  # said by us, about just this
    if answers.wants_json():
        return answers.failure(status, problem.name.lower().replace(" ", "_"), f"{title}. {help_}")
    return render_template("error.html", status=status, title=title, advice=help_), status
