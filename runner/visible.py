"""Strangers' words in our sentences: one line of characters that can be seen, in reading order."""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|\x9b[0-?]*[ -/]*[@-~]"
)


def one_line(text: str) -> str:
    """`text` without terminal escapes, control and direction-changing characters, its lines joined."""
    bare = _ESCAPES.sub("", text)
    kept = (_kept(character) for character in bare)
    return " ".join("".join(kept).split())


def _kept(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") else character
