"""What an App may say in a check run: GitHub's documented limits, as pure functions of the request's JSON."""

import re
from collections.abc import Mapping
from typing import Any

from demo.github.errors import invalid
from demo.github.rest.fields import choice, moment, optional_text, text, wrong

STATUSES = ("queued", "in_progress", "completed")
CONCLUSIONS = ("action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out")
LEVELS = ("notice", "warning", "failure")

MAX_ANNOTATIONS = 50
MAX_ACTIONS = 3
MAX_OUTPUT_BYTES = 65535
MAX_ANNOTATION_TITLE = 255
MAX_ANNOTATION_BYTES = 64 * 1024
_ACTION_LIMITS = {"label": 20, "description": 40, "identifier": 20}
_SHA = re.compile(r"[0-9a-f]{40}")


def head_sha(body: Mapping[str, Any]) -> str:
    """Return the SHA a new check run is about."""
    sha = text(body, "head_sha")
    if not _SHA.fullmatch(sha):
        raise invalid("Validation Failed", {"resource": "CheckRun", "field": "head_sha", "code": "invalid"})
    return sha


def changes(body: Mapping[str, Any], has_conclusion: bool = False) -> dict[str, Any]:
    """Return the columns a request sets, validated; `conclusion` makes the status completed.

    `has_conclusion` tells that the run already has a conclusion, so that "completed" needs no new one.
    """
    found: dict[str, Any] = {}
    for field in ("name", "external_id", "details_url"):
        if body.get(field) is not None:
            found[field] = optional_text(body, field)
    if "name" in found and not found["name"].strip():
        raise wrong('"name" wasn\'t supplied.')
    if found.get("details_url") and not found["details_url"].startswith(("http://", "https://")):
        raise invalid(
            "Validation Failed", {"resource": "CheckRun", "field": "details_url", "code": "invalid"}
        )
    for field in ("started_at", "completed_at"):
        if body.get(field) is not None:
            found[field] = moment(optional_text(body, field) or "", field)
    found.update(_state(body, has_conclusion))
    if body.get("output") is not None:
        found.update(_output(body["output"]))
    if body.get("actions") is not None:
        found["actions"] = _actions(body["actions"])
    return found


def _state(body: Mapping[str, Any], has_conclusion: bool) -> dict[str, Any]:
    status = choice(body, "status", STATUSES)
    conclusion = choice(body, "conclusion", CONCLUSIONS)
    if conclusion is not None:
        return {"status": "completed", "conclusion": conclusion}
    finishing = status == "completed" or body.get("completed_at") is not None
    if finishing and not has_conclusion:
        raise wrong(
            '"conclusion" wasn\'t supplied: it is required with "completed_at" or a status of "completed".'
        )
    if status is None:
        return {}
    return {"status": status} if status == "completed" else {"status": status, "conclusion": None}


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise wrong(f"For '{where}', {value!r} is not an object.")
    return value


def _list(value: object, where: str, maximum: int) -> list[Any]:
    if not isinstance(value, list):
        raise wrong(f"For '{where}', {value!r} is not an array.")
    if len(value) > maximum:
        raise wrong(f"No more than {maximum} items are allowed; {len(value)} were supplied in '{where}'.")
    return value


def _bounded(body: Mapping[str, Any], field: str, maximum: int, where: str) -> str | None:
    """Return a text of at most `maximum` bytes of UTF-8."""
    value = optional_text(body, field)
    if value is not None and len(value.encode()) > maximum:
        raise wrong(f"{where} {field} exceeds a maximum bytesize of {maximum}.")
    return value


def _output(value: object) -> dict[str, Any]:
    output = _object(value, "properties/output")
    found: dict[str, Any] = {"title": output.get("title"), "summary": text(output, "summary")}
    optional_text(output, "title")
    for field in ("summary", "text"):
        if field in output:
            found[field] = _bounded(output, field, MAX_OUTPUT_BYTES, "Output")
    items = _list(output.get("annotations", []), "properties/output/annotations", MAX_ANNOTATIONS)
    found["annotations"] = [_annotation(item) for item in items]
    if "images" in output:
        found["images"] = [_image(item) for item in _list(output["images"], "properties/output/images", 100)]
    return found


def _image(value: object) -> dict[str, str]:
    image = _object(value, "properties/output/images/items")
    return {
        "alt": text(image, "alt"),
        "image_url": text(image, "image_url"),
        "caption": image.get("caption") or "",
    }


def _annotation(value: object) -> dict[str, Any]:
    item = _object(value, "properties/output/annotations/items")
    level = choice(item, "annotation_level", LEVELS)
    if level is None:
        raise wrong('"annotation_level" wasn\'t supplied.')
    found: dict[str, Any] = {"path": text(item, "path"), "annotation_level": level}
    found["message"] = text(
        {"message": _bounded(item, "message", MAX_ANNOTATION_BYTES, "Annotation")}, "message"
    )
    found["raw_details"] = _bounded(item, "raw_details", MAX_ANNOTATION_BYTES, "Annotation")
    found["title"] = optional_text(item, "title")
    if found["title"] and len(found["title"]) > MAX_ANNOTATION_TITLE:
        raise wrong(f"Annotation title is too long (maximum is {MAX_ANNOTATION_TITLE} characters).")
    return {**found, **_lines(item)}


def _lines(item: Mapping[str, Any]) -> dict[str, Any]:
    places = {name: item.get(name) for name in ("start_line", "end_line", "start_column", "end_column")}
    for name, place in places.items():
        if name.endswith("_line") and place is None:
            raise wrong(f'"{name}" wasn\'t supplied.')
        if place is not None and (not isinstance(place, int) or isinstance(place, bool) or place < 0):
            raise wrong(f"For 'properties/{name}', {place!r} is not an integer.")
    if item["start_line"] > item["end_line"]:
        raise wrong("start_line must come before end_line.")
    if places["start_column"] is not None and item["start_line"] != item["end_line"]:
        raise wrong("start_column and end_column cannot be used when start_line and end_line differ.")
    return places


def _actions(value: object) -> list[dict[str, str]]:
    actions = []
    for item in _list(value, "properties/actions", MAX_ACTIONS):
        action = {field: text(_object(item, "properties/actions/items"), field) for field in _ACTION_LIMITS}
        for field, maximum in _ACTION_LIMITS.items():
            if len(action[field]) > maximum:
                raise wrong(
                    f"Only {maximum} characters are allowed in an action's {field}; got {len(action[field])}."
                )
        actions.append(action)
    return actions
