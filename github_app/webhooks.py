"""`POST /webhooks/github`: believe the signature, store the delivery, answer. Nothing else happens here.

GitHub sends a delivery once and waits ten seconds for an answer, so the answer must mean "kept": 202 is sent
after the commit, and `triggers` turns the row into jobs later; GitHub is asked nothing in between. Nothing is
parsed, and nothing stored, before the HMAC over the raw bytes is right.

    202  stored; or stored before under the same GUID, then nothing changes
    400  signed, but a header is missing, or the body is not what GitHub sends for that event
    401  signature missing or wrong
    413  longer than 25 MB, which GitHub never sends
    503  the server has no webhook secret yet

Deliveries come in crowds, and what Flask does around a request (sessions, limits, pages) is no concern of
theirs and costs several times what storing one does. So `Front` answers what is in order by itself, and lets
everything else through to Flask's route, which alone knows the answers to what is not.
"""

from __future__ import annotations

import hmac
import io
import json
import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Flask, current_app, jsonify, request
from flask.sansio.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from github_app import answers, browser_headers, metrics, payloads, services, triggers
from github_app.config import Settings
from github_app.intake import Arrival, Intake

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PATH = "/webhooks/github"
BODY_MAX = 25 * 1024 * 1024
"""GitHub's own limit of a payload, bytes."""
FRONT_MAX = 1024 * 1024
"""What is longer [bytes] goes to Flask, which refuses those who guess signatures before it reads."""

INTAKE = "raas.intake"

blueprint = Blueprint("webhooks", __name__)

_GUID = re.compile(r"^[0-9A-Za-z-]{1,100}$")
_EVENT = re.compile(r"^[a-z0-9_]{1,100}$")
_PREFIX = "sha256="
_SIGNATURE_LENGTH = len(_PREFIX) + 64


class MalformedError(ValueError):
    """The delivery is signed, but not one of GitHub's; the message says why."""


@blueprint.record_once
def _open(state: BlueprintSetupState) -> None:
    app = cast("Flask", state.app)
    app.extensions[INTAKE] = Intake(services.of(app).db)


def _intake() -> Intake:
    return cast("Intake", current_app.extensions[INTAKE])


@blueprint.post(PATH)
def receive() -> ResponseReturnValue:
    """Keep one delivery, or say why not."""
    request.max_content_length = BODY_MAX
    here = services.current()
    secret = here.settings.github_webhook_secret
    if secret is None or not secret.reveal():
        return answers.failure(
            503, "no_secret", "The server has no webhook secret; set RAAS_GITHUB_WEBHOOK_SECRET."
        )
    body = request.get_data(cache=False)
    if not signed(body, request.headers.get("X-Hub-Signature-256"), secret.reveal()):
        return answers.failure(
            401, "bad_signature", "X-Hub-Signature-256 is missing or does not match the body."
        )
    try:
        arrival = _arrival(here.settings, request.environ, body)
    except MalformedError as error:
        return answers.failure(400, "malformed", str(error))
    return jsonify(delivery=arrival.guid, stored=_intake().store(arrival)), 202


class Front:
    """The WSGI application around Flask's: deliveries that are in order are stored and answered here.

    Args:
        app: With its blueprints and its metrics.
    """

    def __init__(self, app: Flask) -> None:
        self._inner: WSGIApplication = app.wsgi_app
        self._settings = services.of(app).settings
        self._intake = cast("Intake", app.extensions[INTAKE])
        policy = ("Content-Security-Policy", browser_headers.NOTHING_POLICY)
        kind = ("Content-Type", "application/json")
        self._headers = [*browser_headers.fixed(self._settings).items(), policy, kind]
        self._took = metrics.requests(app).labels("POST", PATH, "202")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a delivery that is in order; hand on everything else as it came."""
        if environ["PATH_INFO"] != PATH or not _looks_signed(environ):
            return self._inner(environ, start_response)
        began = time.perf_counter()
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        arrival = self._in_order(environ, body)
        if arrival is not None:
            try:
                stored = self._intake.store(arrival)
            except Exception:  # Flask's way tries once more, and knows the words for what goes wrong then
                log.warning("delivery %s was not stored at once", arrival.guid, exc_info=True)
            else:
                self._took.observe(time.perf_counter() - began)
                return self._accepted(arrival.guid, stored, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        return self._inner(environ, start_response)

    def _in_order(self, environ: Mapping[str, Any], body: bytes) -> Arrival | None:
        secret = self._settings.github_webhook_secret
        if secret is None or not secret.reveal():
            return None
        if not signed(body, environ["HTTP_X_HUB_SIGNATURE_256"], secret.reveal()):
            return None
        try:
            return _arrival(self._settings, environ, body)
        except MalformedError:
            return None

    def _accepted(self, guid: str, stored: bool, start_response: StartResponse) -> list[bytes]:
        answer = json.dumps({"delivery": guid, "stored": stored}).encode() + b"\n"
        own = [("Content-Length", str(len(answer))), ("X-Request-Id", guid)]
        start_response("202 ACCEPTED", [*self._headers, *own])
        return [answer]


def _looks_signed(environ: Mapping[str, Any]) -> bool:
    """Whether it is worth reading: of a known, modest length, with something as long as a signature."""
    length: str = environ.get("CONTENT_LENGTH") or ""
    return (
        environ["REQUEST_METHOD"] == "POST"
        and length.isascii()
        and length.isdecimal()
        and int(length) <= FRONT_MAX
        and len(environ.get("HTTP_X_HUB_SIGNATURE_256", "")) == _SIGNATURE_LENGTH
    )


def _arrival(settings: Settings, environ: Mapping[str, Any], body: bytes) -> Arrival:
    """A signed delivery, looked at.

    Raises:
        MalformedError: It is none of GitHub's.
    """
    guid, event = _headers(environ)
    said = parse(event, body)
    return Arrival(guid, event, body, triggers.left_alone(settings, said))


def signed(body: bytes, signature: str | None, secret: str) -> bool:
    """Whether `signature` (`sha256=` and hexadecimal digits) is the HMAC-SHA256 of `body`."""
    if signature is None or not signature.startswith(_PREFIX):
        return False
    expected = hmac.digest(secret.encode(), body, "sha256").hex()
    return hmac.compare_digest(expected.encode(), signature[len(_PREFIX) :].encode())


def parse(event: str, body: bytes) -> BaseModel | None:
    """What GitHub says; None for an event nobody acts upon.

    Raises:
        MalformedError: It is not; the message names the first field that is wrong.
    """
    model = payloads.MODELS.get(event)
    try:
        if model is not None:
            return model.model_validate_json(body)
        parsed = from_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise MalformedError(f"Not a `{event}` of GitHub's: {where}: {first['msg']}.") from error
    except ValueError as error:
        raise MalformedError(f"The body is not JSON: {error}.") from error
    if not isinstance(parsed, dict):
        raise MalformedError("The body is JSON, but not an object.")
    return None


def _headers(environ: Mapping[str, Any]) -> tuple[str, str]:
    guid, event = environ.get("HTTP_X_GITHUB_DELIVERY", ""), environ.get("HTTP_X_GITHUB_EVENT", "")
    if not _GUID.match(guid):
        raise MalformedError("X-GitHub-Delivery is missing or not a GUID.")
    if not _EVENT.match(event):
        raise MalformedError("X-GitHub-Event is missing or not the name of an event.")
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise MalformedError("The webhook must be set to the content type application/json.")
    return guid, event
