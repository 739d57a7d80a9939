"""`/badge/OWNER/REPO.svg`: the last verdict on the default branch, for a README.

A repository that is private, unknown or has not run yet gets the same neutral picture: it tells nothing.
"""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import services
from github_app.jobs import Status
from github_app.models import Job, Repository
from runner.achievement import number
from runner.protocol import Conclusion

blueprint = Blueprint("badge", __name__)

MAX_AGE_S = 60
LOOKS_MAX = 50
"""Jobs of the default branch looked through for one that says something."""
NEUTRAL = ("no verdict", "idle")
_CHARACTER = 6.6
"""Width of a character on average, at a font of 11 pixels."""
_SAYS = {
    Conclusion.SUCCESS: ("passed", "good"),
    Conclusion.FAILURE: ("failed", "bad"),
    Conclusion.TIMED_OUT: ("timed out", "bad"),
}
_COLOURS = {"good": "#136c3e", "bad": "#b3182a", "idle": "#56606c"}


@blueprint.get("/badge/<owner>/<name>.svg")
def badge(owner: str, name: str) -> Response:
    """The picture. It depends on nobody who looks, so anybody may keep it for a minute."""
    with services.current().db.read() as session:
        words, mood = verdict(session, owner, name)
    response = Response(picture(words, _COLOURS[mood]), mimetype="image/svg+xml")
    response.cache_control.public = True
    response.cache_control.max_age = MAX_AGE_S
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'none'"
    response.add_etag()
    response.make_conditional(request)
    return response


def verdict(session: Session, owner: str, name: str) -> tuple[str, str]:
    """What to say of the repository, and its mood: `good`, `bad` or `idle`."""
    repository = session.scalar(
        select(Repository).where(
            Repository.owner == owner, Repository.name == name, Repository.private.is_(False)
        )
    )
    if repository is None:
        return NEUTRAL
    jobs = session.execute(
        select(Job.conclusion, Job.results)
        .where(
            Job.repository_id == repository.id,
            Job.ref == repository.default_branch,
            Job.pull_request.is_(None),
            Job.head_repository.is_(None),
            Job.status == Status.COMPLETED.value,
        )
        .order_by(Job.id.desc())
        .limit(LOOKS_MAX)
    )
    for conclusion, results in jobs:
        if conclusion in _SAYS:
            words, mood = _SAYS[Conclusion(conclusion)]
            return (_deed(results) if mood == "good" else words), mood
    return NEUTRAL


def _deed(results: dict[str, object] | None) -> str:
    """What a successful run came to: its first session's return, where there is one."""
    sessions = (results or {}).get("sessions")
    if isinstance(sessions, list) and sessions:
        value = sessions[0].get("scores", {}).get("episode_return")
        if value is not None:
            return f"passed, return {number(value)}"
    return "passed"


def picture(words: str, colour: str) -> str:
    """The badge: our sign on the left, the verdict on the right."""
    width = round(len(words) * _CHARACTER) + 14
    return render_template("badge.svg", words=words, colour=colour, width=width, total=54 + width)
