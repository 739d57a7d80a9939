"""A piece of a job's log as lines to show: plain text, with the colours its program asked for as names.

`user_text.plain` decides what may be seen of the text. Colours are only put on where the line, read again
with its escapes, comes to exactly the same text: a line in which a secret was removed is shown without any.

A name is a class of the style sheet: `c0` to `c15` and `b0` to `b15` for the sixteen colours of a terminal in
front and behind, `bold`, `dim`, `italic`, `underline`. Colours end with their line, as in GitHub's logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from github_app.user_text import plain

GROUP = "::group::"
GROUP_END = "::endgroup::"
OWN = "raas: "
"""What the runner's own sentences begin with."""

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline"}
_UNSET = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",)}
RUNS_MAX = 200
"""Changes of colour in one line that are followed; a line with more is shown without."""


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        runs: Pairs of text and the names of its colours, separated by spaces.
        kind: `group` (its text is the title), `endgroup`, `own` (the runner speaks) or empty.
    """

    runs: tuple[tuple[str, str], ...]
    kind: str = ""

    def as_json(self) -> Any:
        """The text alone where there is nothing else to say; otherwise `{"runs": …, "kind": …}`."""
        if not self.kind and len(self.runs) == 1 and not self.runs[0][1]:
            return self.runs[0][0]
        return {"runs": self.runs, "kind": self.kind}


def lines(piece: bytes) -> list[Line]:
    """The lines of a stretch of log; a last one without its line feed counts too.

    As many as the piece has, but where a private key was removed: that leaves one.
    """
    if not piece:
        return []
    raw = piece.decode(errors="replace").replace("\r\n", "\n").removesuffix("\n")
    shown = plain(raw).split("\n")
    originals = raw.split("\n")
    if len(originals) != len(shown):  # a private key was removed
        return [_line(text, "") for text in shown]
    return [_line(text, original) for text, original in zip(shown, originals, strict=True)]


def _line(text: str, original: str) -> Line:
    if text.startswith(GROUP):
        return Line(((text.removeprefix(GROUP), ""),), "group")
    if text.startswith(GROUP_END):
        return Line((("", ""),), "endgroup")
    if text.startswith(OWN):
        return Line(((text, ""),), "own")
    if "\x1b[" not in original:
        return Line(((text, ""),))
    runs = tuple(_runs(original.rstrip("\r").rpartition("\r")[2]))
    same = len(runs) <= RUNS_MAX and "".join(run for run, _ in runs) == text
    return Line(runs if same else ((text, ""),))


def _runs(line: str) -> Iterator[tuple[str, str]]:
    style = _Style()
    pieces = _SGR.split(line)
    for index in range(0, len(pieces), 2):
        if pieces[index]:
            yield pieces[index], str(style)
        if index + 1 < len(pieces):
            style.apply([int(code or 0) for code in pieces[index + 1].split(";")])


class _Style:
    """What a terminal would draw with (ECMA-48, 8.3.117)."""

    def __init__(self) -> None:
        self._flags: dict[str, None] = {}
        self._colours: dict[str, int] = {}

    def __str__(self) -> str:
        return " ".join([*(f"{where}{number}" for where, number in self._colours.items()), *self._flags])

    def apply(self, codes: list[int]) -> None:
        rest = iter(codes)
        for code in rest:
            if code == 0:
                self.__init__()  # type: ignore[misc]  # back to where it began
            elif code in _FLAGS:
                self._flags[_FLAGS[code]] = None
            elif code in _UNSET:
                for name in _UNSET[code]:
                    self._flags.pop(name, None)
            elif code in (38, 48):
                self._set("c" if code == 38 else "b", _extended(rest))
            else:
                self._basic(code)

    def _basic(self, code: int) -> None:
        for first, where, base in ((30, "c", 0), (40, "b", 0), (90, "c", 8), (100, "b", 8)):
            if first <= code < first + 8:
                self._set(where, base + code - first)
        if code in (39, 49):
            self._colours.pop("c" if code == 39 else "b", None)

    def _set(self, where: str, number: int | None) -> None:
        if number is not None:
            self._colours[where] = number


def _extended(rest: Iterator[int]) -> int | None:
    """The nearest of the sixteen to a colour of the 256 or of the 16 million."""
    form = next(rest, 0)
    if form == 2:
        red, green, blue = (next(rest, 0) for _ in range(3))
        return _nearest(red, green, blue)
    if form != 5:
        return None
    number = next(rest, 0)
    if number < 16:
        return number
    if number >= 232:
        return _nearest(*[8 + 10 * (min(number, 255) - 232)] * 3)
    cube = number - 16
    return _nearest(*(51 * part for part in (cube // 36, cube // 6 % 6, cube % 6)))


def _nearest(red: int, green: int, blue: int) -> int:
    brightest = max(red, green, blue)
    if brightest < 48:
        return 0
    bits = sum(1 << bit for bit, part in enumerate((red, green, blue)) if part > brightest * 0.6)
    if bits == 7 and brightest < 128:
        return 8
    return bits + (8 if brightest > 200 else 0)
