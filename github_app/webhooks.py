"""`POST /webhooks/github`: believe the signature, store the delivery, answer. Nothing else happens here.

GitHub sends a delivery once and waits ten seconds for an answer, so the answer must mean "kept": 202 is sent
after the commit, and `triggers` turns the row into jobs later; GitHub is asked nothing in between. Nothing is
parsed, and nothing stored, before the HMAC over the raw bytes is right.

    202  stored; or stored before under the same GUID, then nothing changes
    400  signed, but a header is missing, or the body is not what GitHub sends for that event
    401  signature missing or wrong
    413  longer than 25 MB, which GitHub never sends
    503  the server has no webhook secret yet
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import cast

from flask import Blueprint, Flask, current_app, jsonify, request
from flask.sansio.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from github_app import answers, payloads, services, triggers
from github_app.intake import Arrival, Intake

BODY_MAX = 25 * 1024 * 1024
"""GitHub's own limit of a payload, bytes."""

INTAKE = "raas.intake"

blueprint = Blueprint("webhooks", __name__)

_GUID = re.compile(r"^[0-9A-Za-z-]{1,100}$")
_EVENT = re.compile(r"^[a-z0-9_]{1,100}$")
_PREFIX = "sha256="


class MalformedError(ValueError):
    """The delivery is signed, but not one of GitHub's; the message says why."""


@blueprint.record_once
def _open(state: BlueprintSetupState) -> None:
    app = cast("Flask", state.app)
    app.extensions[INTAKE] = Intake(services.of(app).db)


def _intake() -> Intake:
    return cast("Intake", current_app.extensions[INTAKE])


@blueprint.post("/webhooks/github")
def receive() -> ResponseReturnValue:
    """Keep one delivery."""
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
        guid, event = _headers()
        said = parse(event, body)
    except MalformedError as error:
        return answers.failure(400, "malformed", str(error))
    outcome = triggers.left_alone(here.settings, said)
    stored = _intake().store(Arrival(guid, event, body, outcome))
    return jsonify(delivery=guid, stored=stored), 202


def signed(body: bytes, signature: str | None, secret: str) -> bool:
    """Whether `signature` (`sha256=` and hexadecimal digits) is the HMAC-SHA256 of `body`."""
    if signature is None or not signature.startswith(_PREFIX):
        return False
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
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


def _headers() -> tuple[str, str]:
    guid, event = request.headers.get("X-GitHub-Delivery", ""), request.headers.get("X-GitHub-Event", "")
    if not _GUID.match(guid):
        raise MalformedError("X-GitHub-Delivery is missing or not a GUID.")
    if not _EVENT.match(event):
        raise MalformedError("X-GitHub-Event is missing or not the name of an event.")
    if request.mimetype != "application/json":
        raise MalformedError("The webhook must be set to the content type application/json.")
    return guid, event
