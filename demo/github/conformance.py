"""Holds the stand-in and its clients to GitHub's official OpenAPI description.

Every API request that the stand-in accepts, every answer, and every webhook payload is validated; what does
not fit is kept as a `Violation`. This needs openapi-core and the cached description (`demo.openapi`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import openapi_core
from flask import Request, Response
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from demo import openapi

_HOST = "https://api.github.com"

# Addresses GitHub serves that its description does not list apart, by what they are a short form of.
SHORT_FORMS = {
    "/repos/{owner}/{repo}/contents/": "/repos/{owner}/{repo}/contents/{path}",
    "/repos/{owner}/{repo}/tarball": "/repos/{owner}/{repo}/tarball/{ref}",
}


@dataclass(frozen=True)
class Violation:
    """One exchange or payload that does not fit: `where` is method and path, or the webhook."""

    where: str
    side: str  # request | answer | webhook
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {self.side}: " + "; ".join(self.reasons)


@dataclass
class _Asked:
    """A request as openapi-core wants it."""

    method: str
    path: str
    parameters: RequestParameters
    content_type: str
    body: bytes | None
    host_url: str = _HOST


@dataclass(frozen=True)
class _Answered:
    """An answer as openapi-core wants it."""

    status_code: int
    headers: Headers
    data: bytes
    content_type: str


class Conformance:
    """Validates exchanges of the given (method, path template) operations and keeps what does not fit."""

    def __init__(self, operations: Iterable[tuple[str, str]]) -> None:
        known = openapi.description()["paths"]
        templates = [(method, SHORT_FORMS.get(path, path)) for method, path in operations]
        self.unknown = [(m, p) for m, p in templates if m.lower() not in known.get(p, {})]
        described = openapi.cut(templates)
        _document_errors(described)
        self._rest = _build(described)
        self._webhooks = _build(_webhooks_as_paths())
        self.exchanges = 0
        self.payloads = 0
        self.violations: list[Violation] = []

    def exchange(
        self, template: str, arguments: Mapping[str, Any], request: Request, response: Response
    ) -> None:
        """Validate one request, if the answer says that it was understood, and its answer."""
        template = SHORT_FORMS.get(template, template)
        if (request.method, template) in self.unknown:
            return
        path = _fill(template, arguments)
        asked, answered = _asked(request, path), _answered(response)
        where = f"{request.method} {path}"
        self.exchanges += 1
        if response.status_code < 400:
            self._keep(where, "request", self._rest.iter_request_errors(asked))
        if response.status_code != 304:
            self._keep(where, "answer", self._rest.iter_response_errors(asked, answered))

    def webhook(self, event: str, action: str | None, payload: bytes) -> None:
        """Validate one webhook payload."""
        name = "-".join(part.replace("_", "-") for part in (event, action) if part)
        request = _Asked("post", f"/{name}", RequestParameters(), "application/json", payload)
        self.payloads += 1
        self._keep(name, "webhook", self._webhooks.iter_request_errors(request))

    def _keep(self, where: str, side: str, errors: Iterable[Exception]) -> None:
        reasons = tuple(reason for error in errors for reason in _explain(error))
        if reasons:
            self.violations.append(Violation(where, side, reasons))


def _asked(request: Request, path: str) -> _Asked:
    parameters = RequestParameters(query=ImmutableMultiDict(request.args))
    content_type = (request.content_type or "").lower()
    return _Asked(request.method.lower(), path, parameters, content_type, request.get_data() or None)


def _answered(response: Response) -> _Answered:
    content_type = (response.content_type or "").lower()
    return _Answered(response.status_code, response.headers, response.get_data(), content_type)


def _build(description: dict[str, Any]) -> openapi_core.OpenAPI:
    _correct(description)
    # Validating GitHub's description itself takes a minute and is GitHub's business.
    config = openapi_core.Config(spec_validator_cls=None)
    return openapi_core.OpenAPI.from_dict(description, config=config)


def _correct(document: Any) -> None:
    """Correct what the description gets wrong, all over a copy of it: GitHub's own answers would not fit.

    - A nullable field with a list of words forgets null among them.
    - `discriminator` of a file's content names a field, but a folder's listing is an array.
    - `account` in the list of installations is a user *and* an enterprise; it is either.
    """
    if isinstance(document, dict):
        words = document.get("enum")
        if document.get("nullable") and isinstance(words, list) and None not in words:
            words.append(None)
        document.pop("discriminator", None)
        titles = [part.get("title") for part in document.get("allOf", ()) if isinstance(part, dict)]
        if titles == ["Simple User", "Enterprise"]:
            document["anyOf"] = document.pop("allOf")
        for value in document.values():
            _correct(value)
    elif isinstance(document, list):
        for value in document:
            _correct(value)


def _document_errors(description: dict[str, Any]) -> None:
    """Let every operation answer `basic-error` with a 4xx: GitHub does, and lists few of them."""
    basic = {
        "description": "An error",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/basic-error"}}},
    }
    for path in description["paths"].values():
        for operation in path.values():
            for status in ("400", "401", "403", "404", "405", "409", "422", "502"):
                operation["responses"].setdefault(status, basic)


def _webhooks_as_paths() -> dict[str, Any]:
    whole = openapi.description()
    paths = {
        f"/{name}": {"post": {"requestBody": hook["post"]["requestBody"], "responses": {}}}
        for name, hook in whole["x-webhooks"].items()
        if re.match(r"(push|ping|issues|issue-comment|pull-request|check|installation|repository)", name)
    }
    return openapi.with_components(paths)


def _fill(template: str, arguments: Mapping[str, Any]) -> str:
    """Put arguments into a template, slashes quoted: openapi-core knows no argument with slashes."""
    filled = template
    for name in re.findall(r"{([^}]+)}", template):
        filled = filled.replace(f"{{{name}}}", quote(str(arguments.get(name) or "-"), safe=""))
    return filled


def _short(message: str) -> str:
    """Keep both ends: the value comes first, and what is wrong with it last."""
    return message if len(message) <= 300 else f"{message[:100]} … {message[-200:]}"


def _explain(error: Exception) -> list[str]:
    """Return what is wrong, from the innermost errors."""
    cause = error.__cause__
    schema_errors = getattr(cause, "schema_errors", None) or getattr(error, "schema_errors", None)
    if schema_errors:
        return [f"{'/'.join(map(str, it.absolute_path))}: {_short(it.message)}" for it in schema_errors]
    return [f"{error} {cause or ''}".strip()]
