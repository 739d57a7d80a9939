"""Fields of a request's JSON, or GitHub's 422 that says which one is wrong."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from demo.github.errors import ApiError, invalid


def wrong(message: str) -> ApiError:
    """Return the 422 of a field of the wrong type or size."""
    return invalid(f"Invalid request.\n\n{message}")


def text(body: Mapping[str, Any], name: str) -> str:
    """Return a string that must be there and not be blank."""
    value = optional_text(body, name)
    if value is None or not value.strip():
        raise wrong(f'"{name}" wasn\'t supplied.')
    return value


def optional_text(body: Mapping[str, Any], name: str) -> str | None:
    """Return a string or None."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(f"For 'properties/{name}', {value!r} is not a string.")
    return value


def moment(value: str, name: str) -> int:
    """Return a time with its offset, as ISO 8601 writes it, in seconds since the epoch."""
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError as error:
        raise wrong(f"For 'properties/{name}', {value!r} is not a valid date-time.") from error
    if found.tzinfo is None:
        raise wrong(f"For 'properties/{name}', {value!r} is not a valid date-time.")
    return int(found.timestamp())


def choice(body: Mapping[str, Any], name: str, words: tuple[str, ...]) -> str | None:
    """Return one of a few words, or None where the field is missing."""
    value = optional_text(body, name)
    if value is not None and value not in words:
        raise wrong(f"For 'properties/{name}', {value!r} is not a member of {list(words)}.")
    return value
