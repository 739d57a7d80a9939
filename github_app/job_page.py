"""What a job's page says: the parts that change while one looks, made in one place for page and stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jinja2 import Environment
from sqlalchemy.orm import Session

from github_app import job_view, verdict
from github_app.config import Settings
from github_app.job_view import JobView
from github_app.jobs import Status
from github_app.models import Job
from github_app.summary import advice, metrics
from github_app.usage import left_robot
from github_app.wording import moment

DELIVERY_SHOWN = timedelta(seconds=30)
"""The delivery of results is part of the run to people, unless the server or its store was away."""


@dataclass(frozen=True)
class Part:
    """A stretch of a job's life: `state` is done, now, ahead, or how it ended."""

    name: str
    note: str
    state: str


class Html:
    """The parts as HTML, outside of a request too: they are the same for everybody who may see the job.

    Args:
        env: The application's templates.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env

    def head(self, session: Session, job: Job, settings: Settings) -> str:
        """The verdict and the timeline."""
        view = job_view.load(session, job, settings, brief=True)
        return self.env.get_template("job_head.html").render(head(view))

    def results(self, session: Session, job: Job, settings: Settings) -> str:
        """Scores, artifacts and provenance."""
        view = job_view.load(session, job, settings, log_max=0)
        return self.env.get_template("job_results.html").render(results(view))


def head(view: JobView) -> dict[str, Any]:
    """What `job_head.html` needs."""
    return {
        "view": view,
        "title": verdict.title(view),
        "state_name": state(view),
        "advice": advice(view).replace("`", ""),
        "timeline": timeline(view),
    }


def results(view: JobView) -> dict[str, Any]:
    """What `job_results.html` needs."""
    sessions = view.finish.sessions if view.finish else []
    return {
        "view": view,
        "sessions": [{"rows": metrics(one), "notes": one.interventions[:20]} for one in sessions],
        "robot": _robot(view),
    }


def state(view: JobView) -> str:
    """One word: the conclusion, or where the job stands."""
    return view.conclusion.value if view.conclusion else view.status.value


def is_over(view: JobView) -> bool:
    """Whether nothing more will happen to it."""
    return view.status is Status.COMPLETED


def timeline(view: JobView) -> list[Part]:
    """Queued, prepared, ran, with how long each took; and delivered, where that is worth a word."""
    ended = view.completed_at
    left = _left_robot(view)
    marks = [
        ("Queued", view.created_at, view.claimed_at or ended),
        ("Prepared", view.claimed_at, view.started_at or ended),
        ("Ran", view.started_at, left),
    ]
    if left is not None and ended is not None and ended - left > DELIVERY_SHOWN:
        marks.append(("Delivered", left, ended))
    parts = [_part(name, start, end) for name, start, end in marks if start is not None or ended is None]
    if ended is not None and view.conclusion is not None:
        name = view.conclusion.value.replace("_", " ").capitalize()
        parts.append(Part(name, moment(ended), f"state-{view.conclusion.value}"))
    return parts


def _left_robot(view: JobView) -> datetime | None:
    if view.started_at is None or view.completed_at is None or view.finish is None:
        return view.completed_at
    return left_robot(view.started_at, view.completed_at, view.finish.started_at, view.finish.ended_at)


def _part(name: str, start: datetime | None, end: datetime | None) -> Part:
    if start is None:
        return Part(name, "not yet", "ahead")
    if end is None:
        return Part(name, f"since {moment(start)}", "now")
    return Part(name, verdict.duration((end - start).total_seconds()), "done")


def _robot(view: JobView) -> str:
    session = verdict.first_session(view)
    if session is not None:
        return f"{session.robot}, passport {session.passport}"
    return view.runner or f"any with {', '.join(view.robot)}"
