"""Patterns such as `results/**` over names with slashes, matched without regular expressions.

Patterns come from strangers' repositories: a translated regular expression could be made to backtrack for
hours. This matcher takes at most about len(pattern) * len(name) steps.
"""

from __future__ import annotations

import re

_PART = re.compile(r"\*\*/?|.", re.DOTALL)
_MAYBE_FOLDERS = ""  # stands before every `**/`: from here the whole of it may be left out


def glob_match(pattern: str, name: str) -> bool:
    """Whether `name` matches `pattern`.

    `*` is any run of characters but `/`, `**` any run at all, `**/` any number of folders (also none),
    `?` one character but `/`.
    """
    parts: list[str] = []
    for part in _PART.findall(pattern):
        parts += [_MAYBE_FOLDERS, part] if part == "**/" else [part]
    reached = _closure(parts, {0})
    for character in name:
        reached = _closure(parts, {there for here in reached for there in _step(parts, here, character)})
    return len(parts) in reached


def _step(parts: list[str], here: int, character: str) -> list[int]:
    """Where one character leads from part `here`; a star stays where it is."""
    part = parts[here] if here < len(parts) else _MAYBE_FOLDERS
    if part == "**":
        return [here]
    if part == "**/":
        return [here, here + 1] if character == "/" else [here]
    if part == "*":
        return [here] if character != "/" else []
    if part == "?":
        return [here + 1] if character != "/" else []
    return [here + 1] if character == part else []


def _closure(parts: list[str], reached: set[int]) -> set[int]:
    """`reached`, and every position behind what may match nothing."""
    todo, closed = list(reached), set(reached)
    while todo:
        here = todo.pop()
        fresh = _jumps(parts, here) - closed
        closed |= fresh
        todo += fresh
    return closed


def _jumps(parts: list[str], here: int) -> set[int]:
    """Where no character at all leads from `here`."""
    if here == len(parts):
        return set()
    if parts[here] == _MAYBE_FOLDERS:
        return {here + 1, here + 2}
    return {here + 1} if parts[here] in ("*", "**") else set()
