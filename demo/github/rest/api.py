"""How an API request is answered: who asks, within which limits, in one transaction, in GitHub's JSON."""

import hashlib
import re
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, json, request
from werkzeug.exceptions import BadRequest

from demo.github import access, auth
from demo.github.access import Installed, Person, Principal
from demo.github.errors import ApiError, invalid, not_accessible, not_found, requires_authentication
from demo.github.faults import Fault
from demo.github.hub import Hub
from demo.github.models import Account, App, Repository
from demo.github.scope import Scope

MAX_BODY_BYTES = 25 * 1024 * 1024
_UNSAFE = ("POST", "PATCH", "PUT", "DELETE")

View = Callable[..., "Answer"]


@dataclass
class Answer:
    """What a view returns: a JSON document (a string: plain text; None: no body), a status, and headers."""

    document: Any
    status: int = 200
    headers: Mapping[str, str] | None = None


@dataclass
class Call:
    """One API request inside its transaction."""

    hub: Hub
    scope: Scope
    who: Principal

    def repository(
        self, owner: str, name: str, needs: Mapping[str, str] | None = None, user_role: str = "read"
    ) -> Repository:
        """Return a repository that the caller may use so; raise GitHub's 403 or 404 otherwise."""
        row = self.scope.repository(owner, name)
        if row is None:
            raise not_found()
        access.require(self.scope, self.who, row, needs or {"metadata": "read"}, user_role)
        return row

    def commit_sha(self, row: Repository, ref: str) -> str:
        """Return the commit a ref of the address names, or raise 422 as GitHub does."""
        sha = self.scope.store.resolve(row.id, ref)
        if sha is None:
            raise invalid(f"No commit found for SHA: {ref}")
        return sha

    def app(self) -> App:
        """Return the App that signed the request's JWT."""
        if not isinstance(self.who, access.AppItself):
            raise ApiError(401, "A JSON web token could not be decoded")
        return self.who.app

    def actor(self) -> tuple[Account, App | None]:
        """Return the account in whose name something is written, and the App through which it is."""
        if isinstance(self.who, Person):
            return self.who.account, self.who.app
        if isinstance(self.who, Installed):
            app = self.who.token.installation.app
            return app.bot, app
        raise requires_authentication() if isinstance(self.who, access.Anonymous) else not_accessible()

    def person(self) -> Person:
        """Return the person whose token came with the request."""
        if isinstance(self.who, Person):
            return self.who
        raise requires_authentication() if isinstance(self.who, access.Anonymous) else not_accessible()

    def body(self) -> dict[str, Any]:
        """Return the request's JSON object ({} for an empty body), or raise 400."""
        if not request.get_data():
            return {}
        try:
            document = request.get_json(force=True)
        except BadRequest as error:
            raise ApiError(400, "Problems parsing JSON") from error
        if not isinstance(document, dict):
            raise ApiError(400, "Body should be a JSON object")
        return document


class Api:
    """The API's routes as a Flask blueprint."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.routes = Blueprint("api", __name__)

    def route(self, method: str, rule: str, *, content: bool = False) -> Callable[[View], View]:
        """Register a view; `content` marks what the secondary rate limit counts."""

        def register(view: View) -> View:
            def respond(**arguments: Any) -> Response:
                return self._respond(view, arguments, content)

            endpoint = f"{method} {rule}".replace(".", "_")
            self.routes.add_url_rule(rule, endpoint, respond, methods=[method])
            return view

        return register

    def _respond(self, view: View, arguments: dict[str, Any], content: bool) -> Response:
        fault = self.hub.faults.take(request.method, request.path)
        if fault is not None:
            time.sleep(fault.delay_s)
            if not fault.applied and (fault.drop or fault.status):
                return _failed(fault)
        response = self._work(view, arguments, content)
        self._compare(response, arguments)
        return _failed(fault) if fault is not None and fault.applied else response

    def _compare(self, response: Response, arguments: dict[str, Any]) -> None:
        """Hold the exchange to GitHub's description, where that is asked for."""
        if self.hub.conformance is None or request.url_rule is None:
            return
        template = openapi_path(request.url_rule.rule.removeprefix(self.hub.settings.api_prefix))
        self.hub.conformance.exchange(template, arguments, request, response)

    def _work(self, view: View, arguments: dict[str, Any], content: bool) -> Response:
        key = f"anonymous {request.remote_addr}"
        try:
            with self.hub.write() if request.method in _UNSAFE else self.hub.read() as scope:
                who = auth.principal(scope, request.headers.get("Authorization"))
                key = who.key
                self.hub.limits.spend(key)
                if content:
                    self.hub.limits.spend_content(key)
                answer = view(Call(self.hub, scope, who), **arguments)
        except ApiError as error:
            answer = Answer(error.body(), error.status, error.headers)
        return _response(answer, self.hub.limits.headers(key))


def _response(answer: Answer, limit_headers: Mapping[str, str]) -> Response:
    body, content_type = _encoded(answer.document)
    response = Response(body, answer.status, content_type=content_type)
    if content_type is None:
        del response.headers["Content-Type"]
    response.headers.update(limit_headers)
    response.headers.update(common_headers())
    response.headers.update(answer.headers or {})
    if request.method == "GET" and answer.status == 200:
        response.set_etag(hashlib.sha256(body).hexdigest(), weak=True)
        response.make_conditional(request)
    return response


def _encoded(document: Any) -> tuple[bytes, str | None]:
    if document is None:
        return b"", None
    if isinstance(document, str):
        return document.encode(), "text/plain; charset=utf-8"
    return json.dumps(document).encode(), "application/json; charset=utf-8"


def common_headers() -> dict[str, str]:
    """Return the headers of every answer of the API."""
    return {
        "Server": "GitHub stand-in",
        "X-GitHub-Media-Type": "github.v3; format=json",
        "X-GitHub-Request-Id": uuid.uuid4().hex.upper()[:24],
        "X-GitHub-Api-Version-Selected": "2022-11-28",
    }


def _failed(fault: Fault) -> Response:
    if fault.drop:
        # Werkzeug's server hands its socket over; the answer below then has nowhere to go.
        request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    body = json.dumps({"message": fault.message, "documentation_url": "https://docs.github.com/rest"})
    return Response(
        body, fault.status, {**common_headers(), **fault.headers}, content_type="application/json"
    )


def openapi_path(rule: str) -> str:
    """Return a route's rule as GitHub's OpenAPI description writes it: `<int:number>` becomes `{number}`."""
    return re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule)
