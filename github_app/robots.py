"""`/robots` and `/robots/NAME`: each robot's state, what it does, its passports; and draining, for its host.

Draining is for the people whom `RAAS_HOSTS` names. A drained robot ends the job it has and takes no more:
each claim asks the robot's row for it, in the statement that takes the job.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import (
    allowance,
    auth,
    passport_view,
    passports,
    policy,
    robot_switches,
    robot_view,
    services,
)
from github_app.columns import is_live
from github_app.models import Job, Repository, Runner
from github_app.moves import utc_now
from github_app.pages import content_policy
from github_app.policy import Viewer
from github_app.policy_pages import opening

blueprint = Blueprint("robots", __name__)

RECENT_MAX = 10


@blueprint.get("/robots")
def listing() -> ResponseReturnValue:
    """All robots."""
    with services.current().db.read() as session:
        views = robot_view.views(session, robot_view.joined(session))
    return render_template("robots.html", robots=views)


@blueprint.get("/robots/<name>")
def page(name: str) -> ResponseReturnValue:
    """One robot."""
    here, viewer = services.current(), policy.viewer()
    with here.db.read() as session:
        runner = _runner(session, name)
        (view,) = robot_view.views(session, [runner])
        current = _jobs(session, runner, is_live(Job.status), viewer)
        recent = _jobs(session, runner, Job.started_at.is_not(None), viewer)
        history = passports.history(session, runner.id)
        hidden = not current and runner.id in robot_view.running_robots(session)
        opens = opening(allowance.robot_rules(runner), utc_now())
    html = render_template(
        "robot.html",
        robot=view,
        runner=runner,
        current=current[:1],
        recent=[job for job in recent if job.completed_at],
        hidden=hidden,
        history=passport_view.entries(history),
        parameters=passport_view.parameters(history),
        opens=opens,
        may_drain=_is_host(),
    )
    return _with_camera(make_response(html), runner)


def _jobs(session: Session, runner: Runner, which: object, viewer: Viewer) -> list[Job]:
    """The robot's latest jobs that may be seen."""
    found = (
        select(Job)
        .join(Repository)
        .where(Job.runner_id == runner.id, which, policy.visible_rows(viewer))  # type: ignore[arg-type]
        .order_by(Job.started_at.desc())
        .limit(RECENT_MAX)
    )
    return list(session.scalars(found).unique())


def _with_camera(response: Response, runner: Runner) -> Response:
    """This page may show pictures of this robot's camera, and of nothing else."""
    if runner.camera_url:
        where = urlsplit(runner.camera_url)
        files = f"{services.current().store.origin} {where.scheme}://{where.netloc}".strip()
        response.headers["Content-Security-Policy"] = content_policy(files)
    return response


@blueprint.post("/robots/<name>/drain")
def drain(name: str) -> ResponseReturnValue:
    """No more jobs for this robot, or jobs again."""
    who = auth.signed_in()
    if who is None:
        return redirect(url_for("auth.begin", next=url_for("robots.page", name=name)), 303)
    if not _is_host():
        abort(403, "Draining is for the hosts that RAAS_HOSTS names on the server. Ask one of them.")
    here = services.current()
    stop = request.form.get("drain") == "yes"
    with here.db.write() as session:
        _runner(session, name)
        robot_switches.set_drained(session, name, who.login if stop else None, utc_now())
    return redirect(url_for("robots.page", name=name), 303)


def _runner(session: Session, name: str) -> Runner:
    runner = session.scalar(select(Runner).where(Runner.name == name, Runner.revoked_at.is_(None)))
    if runner is None or runner.token_hash is None:
        abort(404)
    return runner


def _is_host() -> bool:
    who = auth.signed_in()
    return who is not None and who.login.lower() in services.current().settings.hosts
