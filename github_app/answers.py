"""JSON in and out: reading a request's body as a message, and the one form of every error."""

from __future__ import annotations

import json
import logging
from typing import Any, TypeVar

from flask import Flask, Response, g, request
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import InternalServerError, ServiceUnavailable

from github_app.claims import KeySpentError, NoSuchRunnerError
from github_app.db import DatabaseError
from github_app.github_errors import GitHubUnavailableError, SourceError
from github_app.jobs import IllegalMoveError
from github_app.leases import BadLogError, CancelledError, ReleasedError, StaleFenceError
from github_app.moves import NoSuchJobError
from github_app.stores import StoreError, UploadRefusedError
from runner.protocol import UPLOAD_REFUSED, ErrorAnswer

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

JSON_PATHS = ("/api/", "/uploads/", "/webhooks/", "/healthz", "/readyz")

_KNOWN: dict[type[Exception], tuple[int, str]] = {
    StaleFenceError: (409, "stale_fence"),
    ReleasedError: (409, "released"),
    CancelledError: (409, "cancelled"),
    IllegalMoveError: (409, "illegal_move"),
    KeySpentError: (409, "key_spent"),
    NoSuchJobError: (404, "no_such_job"),
    NoSuchRunnerError: (401, "unknown_runner"),
    BadLogError: (422, "bad_log"),
    UploadRefusedError: (422, UPLOAD_REFUSED),
    SourceError: (422, "no_source"),
    GitHubUnavailableError: (503, "github_unavailable"),
    StoreError: (503, "store_unavailable"),
    DatabaseError: (503, "database_busy"),
}
"""What each of our errors is in HTTP. Their messages are made for people and hold no secrets."""


_AWAY = "Where the files are kept does not answer. Jobs go on, and nothing is lost. Try again in a while."


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: HTTP's.
        code: For programs.
        message: What happened and what to do.
        headers: More headers.
    """

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


def body(model: type[M]) -> M:
    """The request's body as a message.

    Raises:
        ApiError: It is none (422); the message names the first field that is wrong.
    """
    raw = request.get_data(cache=False)
    try:
        if b"\\u0000" in raw:
            return model.model_validate(_without_nul(json.loads(raw)))
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise ApiError(422, "invalid", f"{where}: {first['msg']}; see /api/v1/openapi.json") from error
    except ValueError as error:
        raise ApiError(422, "invalid", f"the body is not JSON ({error})") from error


def _without_nul(value: Any) -> Any:
    """PostgreSQL stores every character but this one, and a program's output may hold it."""
    if isinstance(value, str):
        return value.replace("\x00", "�")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


def message(answer: BaseModel, status: int = 200) -> Response:
    """A message as the response."""
    return Response(answer.model_dump_json(), status, mimetype="application/json")


def nothing() -> Response:
    """204."""
    return Response(status=204)


def failure(status: int, code: str, text: str, **headers: str) -> Response:
    """An `ErrorAnswer` as the response."""
    response = message(ErrorAnswer(error=code, message=text), status)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def wants_json() -> bool:
    """Whether the request's path is for programs."""
    return request.path.startswith(JSON_PATHS)


def register(app: Flask) -> None:
    """Give our errors their form. What Flask itself refuses is for `pages.error` to say."""

    @app.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return failure(error.status, error.code, error.message, **error.headers)

    def known(error: Exception) -> Response:
        status, code = next(_KNOWN[kind] for kind in type(error).__mro__ if kind in _KNOWN)
        if status >= 500:
            log.warning("%s: %s", code, error)
        if status == 503 and not wants_json():
            why = _AWAY if isinstance(error, StoreError) else None
            return app.make_response(app.handle_http_exception(ServiceUnavailable(why)))
        return failure(status, code, str(error))

    for kind in _KNOWN:
        app.register_error_handler(kind, known)

    def overloaded(error: Exception) -> Response:
        log.error("the database does not answer: %s", error)
        if not wants_json():
            return app.make_response(app.handle_http_exception(ServiceUnavailable(retry_after=2)))
        return failure(
            503, "database_unavailable", "the database does not answer; try again", Retry_After="2"
        )

    app.register_error_handler(OperationalError, overloaded)
    app.register_error_handler(PoolTimeoutError, overloaded)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.exception("request %s failed", g.get("request_id", "?"))
        text = f"the server failed; its log says why under request {g.get('request_id', '?')}"
        if wants_json():
            return failure(500, "server_error", text)
        return app.make_response(app.handle_http_exception(InternalServerError(original_exception=error)))
