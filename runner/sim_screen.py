"""The pendulum in letters: a picture of braille dots, and the words below it. Pure.

A braille letter has 2 x 4 dots, and a terminal's letters are about twice as high as wide: dots are square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from raas_gym.dynamics import MAX_TORQUE

_EXTENT = 1.45
"""Rod lengths from the axle to the picture's border."""
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Each dot's bit in its letter (Unicode 15, chapter 21.1)."""
_BLANK = 0x2800
_STYLES = ("", "bright_black", "red", "bright_blue", "bold")
"""Of nothing, the circle, the rod, the torque's arc, the axle and the bob: later ones lie above."""
ROWS_MIN, COLUMNS_MIN = 4, 8


def picture(theta: float, torque: float, columns: int, rows: int) -> Text:
    """The rod at θ [rad, 0 upright, counter-clockwise positive] and the torque as an arc that way."""
    size = min(2 * columns, 4 * rows)
    x, y = _grid(columns, rows, size)
    layers = _layers(x, y, theta, torque, dot=2 * _EXTENT / size)
    lines = Text(no_wrap=True, end="")
    bits = np.zeros((rows, columns), dtype=np.int64)
    kind = np.zeros((rows, columns), dtype=np.int64)
    for number, layer in enumerate(layers, 1):
        cells = layer.reshape(rows, 4, columns, 2).transpose(0, 2, 1, 3)
        bits |= np.where(cells, _DOTS, 0).sum(axis=(2, 3))
        kind[cells.any(axis=(2, 3))] = number
    for row in range(rows):
        _write(lines, bits[row], kind[row])
        lines.append("\n" if row < rows - 1 else "")
    return lines


def _layers(
    x: NDArray[np.float64], y: NDArray[np.float64], theta: float, torque: float, dot: float
) -> list[NDArray[np.bool_]]:
    """Which dots belong to circle, rod, arc and axle, from behind to front; `dot` is one's size."""
    tip_x, tip_y = -math.sin(theta), math.cos(theta)
    along = np.clip(x * tip_x + y * tip_y, 0.0, 1.0)
    radius = np.hypot(x, y)
    circle = (np.abs(radius - 1.0) < 0.5 * dot) & ((np.arctan2(y, x) * 24 / math.pi) % 2 < 0.7)
    rod = np.hypot(x - along * tip_x, y - along * tip_y) < max(0.035, 0.75 * dot)
    turned = np.arctan2(-x, y) * (1.0 if torque > 0 else -1.0)
    sweep = abs(torque) / MAX_TORQUE * math.pi / 2
    arc = (np.abs(radius - 1.25) < max(0.03, 0.75 * dot)) & (turned > 0) & (turned < sweep)
    bob = np.hypot(x - tip_x, y - tip_y) < max(0.11, 1.5 * dot)
    return [circle, rod, arc, bob | (radius < max(0.06, dot))]


def _grid(columns: int, rows: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each dot's place in rod lengths from the axle, x to the right and y up."""
    wide, high = 2 * columns, 4 * rows
    x = (np.arange(wide) + 0.5 - wide / 2) * 2 * _EXTENT / size
    y = (high / 2 - np.arange(high) - 0.5) * 2 * _EXTENT / size
    across, up = np.meshgrid(x, y)
    return across, up


def _write(lines: Text, bits: NDArray[np.int64], kind: NDArray[np.int64]) -> None:
    """One row, letters of one style at a time."""
    edges = [0, *(np.flatnonzero(np.diff(kind)) + 1).tolist(), len(kind)]
    for begin, end in pairwise(edges):
        letters = "".join(chr(_BLANK + int(bit)) if bit else " " for bit in bits[begin:end])
        lines.append(letters, _STYLES[kind[begin]])


def words(items: Sequence[str], width: int) -> list[str]:
    """Items in as few lines of `width` cells as they need, none torn unless it is wider than a line."""
    lines: list[str] = []
    for item in items:
        if lines and cell_len(f"{lines[-1]}   {item}") <= width:
            lines[-1] += f"   {item}"
        else:
            lines.append(item)
    return lines


def frame(
    theta: float, torque: float, values: Sequence[str], keys: Sequence[str], size: tuple[int, int]
) -> Text:
    """A whole screen of `size` columns and rows; a picture too small to see anything on is left out."""
    columns, rows = size
    below = [*words(values, columns), *words(keys, columns)]
    room = rows - len(below)
    text = Text(no_wrap=True, end="", overflow="crop")
    if room >= ROWS_MIN and columns >= COLUMNS_MIN:
        text.append_text(picture(theta, torque, columns, room))
        text.append("\n")
    count = len(words(values, columns))
    for number, line in enumerate(below[:rows]):
        text.append(line, "bold" if number < count else "bright_black")
        text.append("\n" if number < len(below[:rows]) - 1 else "")
    return text
