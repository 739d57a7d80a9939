"""The OAuth web flow of an App: the page on which a person says yes, and the exchange of the code.

As documented under "Generating a user access token for a GitHub App", PKCE (S256) included.
"""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Blueprint, Response, abort, jsonify, redirect, request
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse

from demo.github import grants
from demo.github.hub import Hub
from demo.github.models import App
from demo.github.scope import Scope
from demo.github.web import viewer
from demo.github.web.pages import guard_leading_out, render

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def blueprint(hub: Hub) -> Blueprint:
    """Return page and exchange."""
    routes = Blueprint("oauth", __name__)
    routes.after_request(guard_leading_out)

    @routes.get("/login/oauth/authorize")
    def ask() -> AnyResponse | str:
        with hub.read() as scope:
            app = _app(scope, request.args)
            target = _target(app, request.args)
            problem = _problem(app, request.args)
            if problem is not None:
                return redirect(_answer(app.callback_urls[0], {**problem, **_state(request.args)}))
            return render(scope, "authorize.html", app=app, target=target, asked=request.args)

    @routes.post("/login/oauth/authorize")
    def decide() -> AnyResponse:
        viewer.refuse_foreign_forms()
        with hub.write() as scope:
            app = _app(scope, request.form)
            if _problem(app, request.form) is not None:
                abort(400)
            target, state = _target(app, request.form), _state(request.form)
            if request.form.get("decision") != "authorize":
                denied = {"error": "access_denied", "error_description": "The user has denied your request."}
                return redirect(_answer(target, {**denied, **state}))
            challenge = request.form.get("code_challenge") or None
            code = grants.authorization_code(scope, app, viewer.signed_in(scope), target, challenge)
        return redirect(_answer(target, {"code": code, **state}))

    @routes.post("/login/oauth/access_token")
    def exchange() -> Response:
        sent = {**request.args.to_dict(), **request.form.to_dict()}
        sent |= request.get_json(silent=True) or {}
        with hub.write() as scope:
            answer = grants.exchange(scope, {name: str(value) for name, value in sent.items()})
        if "application/json" in request.headers.get("Accept", ""):
            return jsonify(answer)
        return Response(urlencode(answer), content_type="application/x-www-form-urlencoded")

    return routes


def _app(scope: Scope, asked: dict[str, str]) -> App:
    query = select(App).where(App.client_id == asked.get("client_id", ""))
    app: App = scope.session.scalar(query) or abort(404)
    if not app.callback_urls:
        abort(404, "This App has no callback URL.")
    return app


def _target(app: App, asked: dict[str, str]) -> str:
    return asked.get("redirect_uri") or app.callback_urls[0]


def _problem(app: App, asked: dict[str, str]) -> dict[str, str] | None:
    """What is wrong with the request; the App hears of it at its first callback URL, never elsewhere."""
    if _target(app, asked) not in app.callback_urls:
        words = "The redirect_uri MUST match the registered callback URL for this application."
        return {"error": "redirect_uri_mismatch", "error_description": words}
    challenge, method = asked.get("code_challenge", ""), asked.get("code_challenge_method", "")
    if (challenge or method) and (method != "S256" or not _CHALLENGE.fullmatch(challenge)):
        return {"error": "invalid_request", "error_description": "PKCE needs S256 and a challenge."}
    return None


def _state(asked: dict[str, str]) -> dict[str, str]:
    return {"state": asked["state"]} if asked.get("state") else {}


def _answer(address: str, query: dict[str, str]) -> str:
    parts = urlsplit(address)
    return parts._replace(query=urlencode([*parse_qsl(parts.query), *query.items()])).geturl()
