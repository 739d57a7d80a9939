"""What the queue's page says: running, waiting, recent, and the robots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from github_app import job_view, policy, robot_view, verdict
from github_app.columns import is_live, is_queued
from github_app.config import Settings
from github_app.jobs import Status
from github_app.models import Job, Repository
from github_app.policy import Viewer

ROWS_MAX = 25


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
class RobotRow:
    """A robot in the list; `state` as in `robot_view`."""

    name: str
    state: str
    words: str
    labels: list[str]


def message(env: Environment, session: Session, settings: Settings, viewer: Viewer) -> str:
    """The page's content as the data of a live message: JSON with `headline` and `html`."""
    parts = context(session, settings, viewer)
    html = env.get_template("queue_content.html").render(parts)
    return json.dumps({"headline": parts["headline"], "html": html})


def context(session: Session, settings: Settings, viewer: Viewer) -> dict[str, Any]:
    """What `queue_content.html` needs."""
    running = _rows(session, settings, viewer, is_live(Job.status), Job.claimed_at)
    waiting = _rows(session, settings, viewer, is_queued(Job.status), Job.order_key)
    recent = _rows(session, settings, viewer, Job.status == Status.COMPLETED.value, Job.id.desc())
    sections = [
        {"title": "Running", "jobs": running, "none": "No robot is moving."},
        {"title": "Waiting", "jobs": waiting, "none": "Nothing waits."},
        {"title": "Recent", "jobs": recent, "none": "Nothing has run yet."},
    ]
    headline = f"{_count(running, 'running')}, {_count(waiting, 'waiting')}"
    return {"sections": sections, "robots": robots(session), "headline": headline}


def _rows(
    session: Session, settings: Settings, viewer: Viewer, which: ColumnElement[bool], order: Any
) -> list[Row]:
    """The first jobs of a kind that may be seen."""
    query = select(Job).join(Repository).where(which, policy.visible_rows(viewer))
    rows = []
    for job in session.scalars(query.order_by(order).limit(ROWS_MAX)).unique():
        view = job_view.load(session, job, settings, brief=True)
        since = job.completed_at or job.started_at or job.claimed_at or job.created_at
        state = job.conclusion or job.status
        rows.append(Row(job.id, state, verdict.title(view), job.repository.full_name, job.sha, since))
    return rows


def _count(rows: list[Row], what: str) -> str:
    return f"{len(rows)}{'+' if len(rows) == ROWS_MAX else ''} {what}"


def robots(session: Session) -> list[RobotRow]:
    """The robots that have joined, by name."""
    busy = robot_view.running_robots(session)
    return [
        RobotRow(runner.name, *robot_view.state(runner, runner.id in busy), runner.labels)
        for runner in robot_view.joined(session)
    ]
