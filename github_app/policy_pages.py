"""`/robots/NAME/policy`: what the host of a robot allows, for whoever wonders why a job waits."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from github_app import allowance, services
from github_app.config import Settings
from github_app.models import Runner
from github_app.moves import utc_now
from github_app.rules import RobotRules, ServerRules

blueprint = Blueprint("policy", __name__)


@blueprint.get("/robots/<name>/policy")
def robot(name: str) -> ResponseReturnValue:
    """A robot's rules and the server's, and whether it takes jobs now."""
    here = services.current()
    with here.db.read() as session:
        runner = session.scalar(select(Runner).where(Runner.name == name, Runner.revoked_at.is_(None)))
        if runner is None or runner.token_hash is None:
            abort(404)
        rules, server = allowance.robot_rules(runner), allowance.server_rules(session)
    return render_template(
        "policy.html",
        name=name,
        now=opening(rules, utc_now()),
        robot=rules.words(),
        server=server_words(server, here.settings),
    )


def opening(rules: RobotRules, now: datetime) -> str:
    """Whether a job may begin at this moment."""
    closed = rules.closed(now)
    return "A job may begin now" if closed is None else f"No job begins now: {closed}"


def server_words(rules: ServerRules, settings: Settings) -> list[tuple[str, str]]:
    """The server's rules, and in the place of those not set what its settings say."""
    timeout = min(settings.timeout_max_s, rules.timeout_max_s or settings.timeout_max_s)
    sessions = min(settings.sessions_max, rules.sessions_max or settings.sessions_max)
    words = dict(rules.words())
    words |= {"timeout": f"{timeout:g} s at most", "sessions of a job": f"{sessions} at most"}
    if rules.owners is None and "*" not in settings.owners:
        words["owners"] = ", ".join(sorted(settings.owners))
    elif rules.owners is None:
        words["owners"] = "whoever installs the App"
    return list(words.items())
