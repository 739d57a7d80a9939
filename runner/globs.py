"""Patterns such as `results/**` over names with slashes, matched without regular expressions.

Patterns come from strangers' repositories: a translated regular expression could be made to backtrack for
hours. Here all places in a pattern that the characters so far may have led to are one number, a bit for each,
so that a character of the name costs a few operations whatever the pattern is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

_PART = re.compile(r"\*\*/?|.", re.DOTALL)
_STARS = ("*", "**")
_MAYBE_FOLDERS = ""
"""Stands before every `**/`: from here the whole of it may be left out."""


def glob_match(pattern: str, name: str) -> bool:
    """Whether `name` matches `pattern`.

    `*` is any run of characters but `/`, `**` any run at all, `**/` any number of folders (also none),
    `?` one character but `/`.
    """
    return _compiled(pattern).matches(name)


@dataclass(frozen=True)
class _Pattern:
    """Bits say at which parts of the pattern something holds; the bit behind the last one is its end.

    Attributes:
        stays: Any character may be there and leaves one there; `stays_inside`: any but `/`.
        passes_slash, passes_other: A slash, or any other character, leads to the next part.
        passes: That one character leads to the next part.
        skips, skips_two: No character at all leads to the next part, or to the one behind it.
        end: The end.
    """

    stays: int
    stays_inside: int
    passes_slash: int
    passes_other: int
    passes: dict[str, int]
    skips: int
    skips_two: int
    end: int

    def matches(self, name: str) -> bool:
        """Whether all of `name` leads from the beginning to the end."""
        reached = self._closed(1)
        for character in name:
            slash = character == "/"
            stays = self.stays if slash else self.stays | self.stays_inside
            passes = (self.passes_slash if slash else self.passes_other) | self.passes.get(character, 0)
            reached = self._closed(reached & stays | (reached & passes) << 1)
            if not reached:
                return False
        return bool(reached & self.end)

    def _closed(self, reached: int) -> int:
        while True:
            more = reached | (reached & self.skips) << 1 | (reached & self.skips_two) << 2
            if more == reached:
                return reached
            reached = more


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> _Pattern:
    parts = _parts(pattern)
    at: defaultdict[str, int] = defaultdict(int)
    for number, part in enumerate(parts):
        at[part] |= 1 << number
    special = {"*", "**", "**/", "?", _MAYBE_FOLDERS}
    return _Pattern(
        stays=at["**"] | at["**/"],
        stays_inside=at["*"],
        passes_slash=at["**/"],
        passes_other=at["?"],
        passes={part: bits for part, bits in at.items() if part not in special},
        skips=at["*"] | at["**"] | at[_MAYBE_FOLDERS],
        skips_two=at[_MAYBE_FOLDERS],
        end=1 << len(parts),
    )


def _parts(pattern: str) -> list[str]:
    """The parts in their order; of stars or folders in a row one stands for all."""
    parts: list[str] = []
    for part in _PART.findall(pattern):
        last = parts[-1] if parts else None
        if part in _STARS and last in _STARS:
            parts[-1] = "**"
        elif part == "**/" and last != part:
            parts += [_MAYBE_FOLDERS, part]
        elif part != "**/":
            parts.append(part)
    return parts
