"""`/api/docs`: the OpenAPI document as a page, for people; nothing of it is written twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from github_app import openapi, services

blueprint = Blueprint("api_docs", __name__)

_REF = "#/components/schemas/"


@dataclass(frozen=True)
class Field:
    """A field of a message or a parameter; `refers` is the message it holds, or ""."""

    name: str
    kind: str
    refers: str
    required: bool
    about: str


@dataclass(frozen=True)
class Call:
    """One operation; `asks` and `answers` name messages, or are ""."""

    anchor: str
    method: str
    path: str
    summary: str
    parameters: list[Field]
    asks: str
    answers: list[tuple[str, str, str]]
    for_runners: bool


@dataclass(frozen=True)
class Message:
    """A schema: its docstring and fields."""

    name: str
    about: str
    fields: list[Field]


@blueprint.get("/api/docs")
def page() -> ResponseReturnValue:
    """Everything under `/api/v1`."""
    document = openapi.document(services.current().settings.public_url)
    calls = list(_calls(document))
    return render_template(
        "api_docs.html",
        public=[call for call in calls if not call.for_runners],
        runners=[call for call in calls if call.for_runners],
        messages=list(_messages(document)),
        version=document["info"]["version"],
        lifecycle=document["info"]["description"].strip().split("\n\n"),
    )


def _calls(document: dict[str, Any]) -> Iterator[Call]:
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            body = said.get("requestBody", {})
            yield Call(
                anchor=f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""),
                method=method.upper(),
                path=path,
                summary=said["summary"],
                parameters=[
                    _field(one["name"], one["schema"], required=one["required"], place=one["in"])
                    for one in said["parameters"]
                ],
                asks=_message_of(body),
                answers=[
                    (status, one["description"], _message_of(one))
                    for status, one in said["responses"].items()
                ],
                for_runners=path.startswith(openapi.RUNNER),
            )


def _message_of(part: dict[str, Any]) -> str:
    for content in part.get("content", {}).values():
        return str(content["schema"].get("$ref", "")).removeprefix(_REF)
    return ""


def _messages(document: dict[str, Any]) -> Iterator[Message]:
    for name, schema in document["components"]["schemas"].items():
        required = schema.get("required", [])
        fields = [
            _field(field, said, required=field in required)
            for field, said in schema.get("properties", {}).items()
        ]
        yield Message(name, schema.get("description", ""), fields)


def _field(name: str, schema: dict[str, Any], *, required: bool, place: str = "") -> Field:
    limits = ", ".join(f"{words} {schema[key]}" for key, words in _LIMITS.items() if key in schema)
    about = ", ".join(filter(None, [f"in the {place}" if place else "", limits]))
    return Field(name, *_kind(schema), required=required, about=about)


_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "maxLength": "characters at most:",
    "maxItems": "items at most:",
    "pattern": "of the form",
    "const": "always",
    "default": "otherwise",
}


def _kind(schema: dict[str, Any]) -> tuple[str, str]:
    """The type in words, and the message it refers to."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return "", name
    if "anyOf" in schema:
        kinds = [_kind(one) for one in schema["anyOf"]]
        words = [kind for kind, _ in kinds if kind]
        return " or ".join(words), next((refers for _, refers in kinds if refers), "")
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"]), ""
    if schema.get("type") == "array":
        kind, refers = _kind(schema.get("items", {}))
        return f"list of {kind}".strip(), refers
    return str(schema.get("type", "anything")), ""
