"""Pages of lists, with GitHub's Link header."""

from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import request

from demo.github.settings import Settings

MAX_PER_PAGE = 100
_DEFAULT_PER_PAGE = 30

Item = TypeVar("Item")


def number(name: str, default: int) -> int:
    """Return a positive whole number of the query, or the default for anything else, as GitHub does."""
    value = request.args.get(name, "")
    return max(1, int(value)) if value.isdigit() else default


def page(settings: Settings, items: Sequence[Item]) -> tuple[Sequence[Item], dict[str, str]]:
    """Return the page the query asks for and its headers."""
    per_page = min(number("per_page", _DEFAULT_PER_PAGE), MAX_PER_PAGE)
    current = number("page", 1)
    last = max(1, -(-len(items) // per_page))
    neighbours: dict[str, Any] = {}
    if current > 1:
        neighbours |= {"prev": current - 1, "first": 1}
    if current < last:
        neighbours |= {"next": current + 1, "last": last}
    links = [f'<{_address(settings, value)}>; rel="{name}"' for name, value in neighbours.items()]
    start = (current - 1) * per_page
    return items[start : start + per_page], {"Link": ", ".join(links)} if links else {}


def _address(settings: Settings, value: int) -> str:
    query = {**request.args.to_dict(), "page": value}
    return f"{settings.public_url}{request.path}?{urlencode(query)}"
