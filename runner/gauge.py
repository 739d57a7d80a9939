"""The robot in one line of text: which way the rod points, angle, torque, reward. Pure.

↖ ▕········│··●·····▏ θ +0.79 rad  θ̇ -1.20 rad/s  u +1.30  r -0.62  t 3.2 s
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.cells import cell_len

_ARROWS = "↑↖←↙↓↘→↗"
"""Where the rod points at θ = 0, π/4, …: counter-clockwise is positive."""
BAR_MIN, BAR_MAX = 7, 31
_ITEMS = (
    ("theta", "θ {:+.2f} rad"),
    ("applied", "u {:+.2f}"),
    ("reward", "r {:+.2f}"),
    ("t", "t {:.1f} s"),
    ("theta_dot", "θ̇ {:+.2f} rad/s"),
)
"""The most important first: what a narrow terminal has no room for is left out."""


def line(values: Mapping[str, float | None], width: int) -> str:
    """A tick's values by column, at most `width` cells wide; other robots' columns are simply not shown."""
    known = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    theta = known.get("theta")
    shown = f"{_ARROWS[round(theta / (math.pi / 4)) % 8]} " if theta is not None else ""
    words: list[str] = []
    for name, form in _ITEMS:
        word = form.format(known[name]) if name in known else ""
        if word and cell_len(shown + "  ".join([*words, word])) <= width:
            words.append(word)
    text = "  ".join(words)
    room = width - cell_len(shown + text) - 3
    if theta is not None and room >= BAR_MIN:
        shown += f"▕{bar(theta, min(room, BAR_MAX))}▏ "
    return shown + text


def bar(theta: float, width: int) -> str:
    """θ [rad] on a scale as seen on the robot: upright in the middle, a lean to the left on the left."""
    width -= 1 - width % 2
    middle = width // 2
    at = middle - round(math.remainder(theta, 2 * math.pi) / math.pi * middle)
    cells = ["·"] * width
    cells[middle] = "│"
    cells[at] = "●"
    return "".join(cells)
