"""`/setup`: from a fresh server to a robot that runs, in a browser, once.

    the token of the console -> create the App at GitHub -> install it -> the first robot -> self-test

Without the token, and after the end, every address here is answered like one that does not exist. The
one-time token is sent in a form, never in an address, and traded for a cookie of that browser
(`setup_state`). The credentials that GitHub hands out go straight into the file of `credentials`; no page
shows them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec
from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from github_app import csrf, github_health, github_site, manifest, services, setup_state, tokens
from github_app.credentials import CredentialsError
from github_app.finding import Finding, Grade
from github_app.github import GitHubError, NotFoundError
from github_app.models import Runner
from github_app.moves import utc_now
from github_app.setup_state import SetupState
from github_app.tokens import RunnerError

blueprint = Blueprint("setup", __name__, url_prefix="/setup")

P = ParamSpec("P")
_ORGANIZATION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})")


def _state() -> SetupState:
    here = services.current()
    with here.db.read() as session:
        return setup_state.read(session)


def _ours() -> SetupState:
    """How far it is, where this browser holds the place; 404 for everybody else."""
    state = _state()
    if services.current().settings.credentials.from_settings:
        abort(404)
    if not setup_state.holds(state, request.cookies.get(csrf.setup_cookie()), utc_now()):
        abort(404)
    return state


def ours_only(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """A view for the browser that holds the place."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        _ours()
        return view(*args, **kwargs)

    return guarded


@blueprint.get("")
def page() -> ResponseReturnValue:
    """Where it stands: the form for the token, or the next step."""
    here, state, now = services.current(), _state(), utc_now()
    if here.settings.credentials.from_settings or not setup_state.is_open(state, now):
        abort(404)
    if not setup_state.holds(state, request.cookies.get(csrf.setup_cookie()), now):
        return render_template("setup_token.html", wrong=False)
    return _create_page() if not state.made else _later_page()


@blueprint.post("/token")
def redeem() -> ResponseReturnValue:
    """Trade the token of the console for a cookie."""
    here = services.current()
    if here.settings.credentials.from_settings or not setup_state.is_open(_state(), utc_now()):
        abort(404)
    with here.db.write() as session:
        browser = setup_state.redeem(session, request.form.get("token", "").strip(), utc_now())
    if browser is None:
        return render_template("setup_token.html", wrong=True), 403
    answer = redirect(url_for("setup.page"), 303)
    valid_s = int(setup_state.BROWSER_VALID.total_seconds())
    answer.set_cookie(
        csrf.setup_cookie(),
        browser,
        max_age=valid_s,
        secure=csrf.over_tls(),
        httponly=True,
        samesite="Lax",
    )
    return answer


def _create_page() -> ResponseReturnValue:
    """The form that goes to GitHub, with the manifest."""
    settings = services.current().settings
    organization = request.args.get("organization", "").strip()
    if organization and not _ORGANIZATION.fullmatch(organization):
        abort(400, "That is no name of an organisation.")
    owner = f"/organizations/{quote(organization)}" if organization else ""
    answer = make_response(
        render_template(
            "setup_create.html",
            target=f"{settings.github_web_url}{owner}/settings/apps/new?state={_flow_state()}",
            manifest=json.dumps(manifest.document(settings.public_url)),
            declared=manifest.declared(),
            organization=organization,
            public_url=settings.public_url,
            reachable=urlsplit(settings.public_url).hostname not in {"localhost", "127.0.0.1", "::1"},
        )
    )
    return _may_lead_to_github(answer)


def _may_lead_to_github(answer: Response) -> Response:
    """GitHub gets a form of this page, and may want to know where it comes from."""
    parts = urlsplit(services.current().settings.github_web_url)
    answer.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {parts.scheme}://{parts.netloc}"
    )
    answer.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
    return answer


def _flow_state() -> str:
    """What GitHub has to bring back: it belongs to this browser, and is void with its cookie."""
    key = services.current().settings.secret_key.reveal()
    browser = request.cookies.get(csrf.setup_cookie(), "")
    return hmac.new(key.encode(), f"setup state:{browser}".encode(), hashlib.sha256).hexdigest()


@blueprint.get("/created")
def created() -> ResponseReturnValue:
    """GitHub sends the browser back with a code: trade it, keep the credentials, forget the code."""
    here, state = services.current(), _ours()
    if not hmac.compare_digest(_flow_state().encode(), request.args.get("state", "").encode()):
        abort(403, "This did not begin here: the state is not ours. Begin again at /setup.")
    if not state.made:
        try:
            here.settings.credentials.save(github_site.convert(here.github, request.args.get("code", "")))
        except NotFoundError:
            return _failed("GitHub does not know this code any more: it counts once, and for an hour.")
        except GitHubError as error:
            return _failed(f"GitHub did not hand out the App's credentials ({error}).")
        except CredentialsError as error:
            return _failed(f"The App is made, but its credentials could not be kept: {error}.")
        with here.db.write() as session:
            setup_state.made(session)
    return redirect(url_for("setup.page"), 303)


def _failed(reason: str) -> ResponseReturnValue:
    advice = f"{reason} Go back to /setup and create the App again; delete the first one at GitHub."
    title = "The App could not be taken over"
    return render_template("error.html", status=502, title=title, advice=advice), 502


def _later_page(invitation: dict[str, str] | None = None, problem: str = "") -> str:
    """Installation, first robot, self-test."""
    here = services.current()
    found = here.settings.credentials.current()
    with here.db.read() as session:
        runners = list(session.scalars(select(Runner).where(Runner.revoked_at.is_(None)).order_by(Runner.id)))
    accounts, health = _asked()
    return render_template(
        "setup_later.html",
        install_url=f"{found.html_url}/installations/new",
        app_url=found.html_url,
        accounts=accounts,
        runners=[(runner.name, tokens.describe(runner)) for runner in runners],
        invitation=invitation,
        problem=problem,
        health=health,
        public_url=here.settings.public_url,
    )


def _asked() -> tuple[list[str], list[Finding]]:
    """Where the App is installed, and how it is."""
    here = services.current()
    health = list(github_health.examine(here.settings, here.github))
    try:
        accounts = [it.account.login for it in github_site.installations(here.github) if it.account]
    except GitHubError as error:
        return [], [*health, Finding("installations", Grade.ODD, f"could not be listed ({error})")]
    return accounts, health


@blueprint.get("/installed")
def installed() -> ResponseReturnValue:
    """GitHub sends everybody here who has installed the App: the host back to set-up, others to the queue."""
    cookie = request.cookies.get(csrf.setup_cookie())
    ours = setup_state.holds(_state(), cookie, utc_now())
    return redirect(url_for("setup.page" if ours else "pages.queue"), 303)


@blueprint.post("/robot")
@ours_only
def robot() -> ResponseReturnValue:
    """Invite the first robot's runner; its token is shown in this answer, and nowhere again."""
    here, name = services.current(), request.form.get("name", "").strip()
    labels = [part.strip() for part in request.form.get("labels", "").split(",") if part.strip()]
    try:
        with here.db.write() as session:
            token = tokens.invite(session, name, labels, utc_now())
    except RunnerError as error:
        return _later_page(problem=f"{error}."), 400
    answer = make_response(_later_page(invitation={"name": name, "token": token}))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.post("/ping")
@ours_only
def ping() -> ResponseReturnValue:
    """Have GitHub send its first delivery again: when it sent it, nobody here knew the webhook's secret."""
    here = services.current()
    try:
        latest = github_site.deliveries(here.github, 100)
        chosen = next((it for it in latest if it.event == "ping"), None)
        if chosen is None:
            return _later_page(problem="GitHub has no ping to send again; push something instead."), 409
        github_site.redeliver(here.github, chosen.id)
    except GitHubError as error:
        return _later_page(problem=f"GitHub could not be asked ({error})."), 502
    return redirect(url_for("setup.page", _anchor="self-test"), 303)


@blueprint.post("/finish")
@ours_only
def finish() -> ResponseReturnValue:
    """The end: nothing below /setup exists any more."""
    with services.current().db.write() as session:
        setup_state.finish(session)
    answer = redirect(url_for("pages.queue"), 303)
    answer.delete_cookie(csrf.setup_cookie(), secure=csrf.over_tls(), httponly=True, samesite="Lax")
    return answer
