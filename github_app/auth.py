"""Signing in with GitHub, signing out, and who sends a request.

    GET /sign-in -> GitHub asks the person -> GET /sign-in/done -> a new session, back where one was

The state belongs to the browser that began, the code is proven by PKCE, and the target is a path of our own.
Of GitHub's token nothing stays: it tells who the person is and what they can read, then it is revoked.
What somebody may do is asked of GitHub when they do it.
"""

from __future__ import annotations

import logging
from typing import cast

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.sansio.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from github_app import csrf, github_site, oauth, readable, services, sessions
from github_app.db import DatabaseError
from github_app.github import ForbiddenError, GitHubError, InvalidError
from github_app.models import WebSession
from github_app.moves import utc_now
from github_app.policy import Viewer
from github_app.readable import Readers

log = logging.getLogger(__name__)

READERS = "raas.readers"
WITHOUT_VIEWER = frozenset({None, "api", "badge", "openapi", "schema", "setup", "webhooks"})
"""Blueprints whose answers do not depend on who looks."""

blueprint = Blueprint("auth", __name__)


@blueprint.record_once
def _open(state: BlueprintSetupState) -> None:
    app = cast("Flask", state.app)
    app.extensions[READERS] = Readers(services.of(app).github)


@blueprint.before_app_request
def know_viewer() -> None:
    """Find out who looks before a page begins its transaction: GitHub may have to be asked."""
    if request.blueprint in WITHOUT_VIEWER:
        return
    who = signed_in()
    if who is None:
        return
    here, readers = services.current(), cast("Readers", current_app.extensions[READERS])
    job = (request.view_args or {}).get("job_id")
    if isinstance(job, int):
        seen = readable.of_job(here, readers, who, job)
    else:
        seen = readable.of_lists(here, readers, who)
    g.viewer = Viewer(who.login, seen)


def signed_in() -> WebSession | None:
    """The session of the browser that sends the current request."""
    if "web_session" not in g:
        token = request.cookies.get(csrf.session_cookie())
        g.web_session = None
        if token:
            with services.current().db.read() as session:
                g.web_session = sessions.find(session, token, utc_now())
    return cast("WebSession | None", g.web_session)


def login_name() -> str | None:
    """For the pages' head: who is signed in. An error's page needs it too, whatever does not work."""
    try:
        who = signed_in()
    except (SQLAlchemyError, DatabaseError):
        return None
    return None if who is None else who.login


@blueprint.get("/sign-in")
def begin() -> ResponseReturnValue:
    """Send the browser to GitHub; `next` is where it comes back to."""
    settings = services.current().settings
    attempt = oauth.begin(request.args.get("next", "/"))
    try:
        answer = make_response(redirect(oauth.authorize_url(settings, attempt), 302))
    except ForbiddenError as error:
        return _refused(str(error), 503)
    _set_cookie(answer, csrf.cookie("sign-in"), oauth.seal(settings, attempt), oauth.VALID_S)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.get("/sign-in/done")
def done() -> ResponseReturnValue:
    """GitHub sends the browser back."""
    here, name = services.current(), csrf.cookie("sign-in")
    kept = request.cookies.get(name, "")
    attempt = oauth.unseal(here.settings, kept, request.args.get("state", ""))
    if attempt is None:
        return _refused("This sign-in did not begin in this browser, or took more than ten minutes.", 403)
    if "code" not in request.args:
        return _refused("GitHub says that you did not agree, so you are not signed in.", 403)
    try:
        token = oauth.exchange(here.settings, attempt, request.args["code"])
        browser = _signed_in_as(token)
    except InvalidError:
        return _refused("GitHub does not know this sign-in: its code counts once, for ten minutes.", 403)
    except GitHubError as error:
        log.warning("sign-in failed: %s", error)
        return _refused("GitHub could not be asked who you are.", 502)
    answer = make_response(redirect(attempt.target, 303))
    _set_cookie(answer, csrf.session_cookie(), browser, int(sessions.VALID.total_seconds()))
    _drop_cookie(answer, name)
    return answer


def _signed_in_as(token: str) -> str:
    """Ask who it is, forget GitHub's token, and put a fresh session in the place of an older one."""
    here = services.current()
    try:
        person = github_site.person(here.github, token)
        private = github_site.private_repositories(here.github, token)
    finally:
        try:
            github_site.revoke(here.github, token)
        except GitHubError as error:
            log.warning("a person's token could not be revoked, it runs out by itself: %s", error)
    with here.db.write() as session:
        sessions.end(session, request.cookies.get(csrf.session_cookie(), ""))
        return sessions.begin(
            session,
            login=person.login,
            person_id=person.id,
            private_repositories=private,
            now=utc_now(),
        )


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session, here and for whoever may have copied the cookie."""
    name = csrf.session_cookie()
    with services.current().db.write() as session:
        sessions.end(session, request.cookies.get(name, ""))
    answer = make_response(redirect(url_for("pages.queue"), 303))
    _drop_cookie(answer, name)
    return answer


@blueprint.after_app_request
def keep_private(response: Response) -> Response:
    """What was made for one person is not kept by proxies, nor shown after signing out."""
    if g.get("web_session") is not None:
        response.headers.setdefault("Cache-Control", "private, no-store")
    if request.blueprint not in WITHOUT_VIEWER:
        response.vary.add("Cookie")
    return response


def _refused(reason: str, status: int) -> ResponseReturnValue:
    title = "You are not signed in"
    advice = f"{reason} Begin again with Sign in at the top."
    return render_template("error.html", status=status, title=title, advice=advice), status


def _set_cookie(answer: Response, name: str, value: str, max_age_s: int) -> None:
    answer.set_cookie(name, value, max_age=max_age_s, secure=csrf.over_tls(), httponly=True, samesite="Lax")


def _drop_cookie(answer: Response, name: str) -> None:
    answer.delete_cookie(name, secure=csrf.over_tls(), httponly=True, samesite="Lax")
