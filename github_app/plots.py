"""Pictures of a recording, as SVG. Pure.

Written by hand: a plotting library would cost every server process some 60 MB and a second of start-up for
lines that a hundred lines draw. See docs/decisions/0016-plots-as-svg.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from github_app.job_view import JobView
from github_app.user_text import one_line
from raas_gym.scores import UPRIGHT_BAND
from raas_gym.trajectory import Trajectory

PLOT, ANIMATION = "plot.svg", "replay.gif"
"""Where a job's pictures are, below its address."""
NAMES = ("trajectory.npz", "session-0/trajectory.npz")
"""Where the controller's recording of the first session is; a program's own files cannot be called so."""
POINTS_MAX = 1000
PANELS_MAX = 6
WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 860, 110, 74, 848, 44, 26
LABELS = {"theta": "angle [rad]", "theta_dot": "speed [rad/s]", "applied": "torque applied"}
_QUOTES = {'"': "&quot;"}


@dataclass(frozen=True)
class Colours:
    """Of one picture; the names of the style sheet's tokens."""

    paper: str
    ink: str
    line: str
    angle: str
    torque: str
    good: str


LIGHT = Colours("#ffffff", "#1f2328", "#d0d7de", "#0969da", "#bc4c00", "#dafbe1")
DARK = Colours("#161b22", "#e8ecf1", "#2a323c", "#82b4ff", "#ff9e64", "#14342a")


def plotted(view: JobView) -> bool:
    """Whether there is something to draw."""
    return any(artifact.name in NAMES for artifact in view.artifacts)


def svg(trajectory: Trajectory, *, dark: bool = False) -> str:
    """The first episode: a panel for each measured value and each applied action, one time axis.

    Every number is bounded and every text escaped: a recording is made by the controller, but its header
    names things that others chose.
    """
    shown = trajectory.episode(0)
    header = shown.header
    names = [*header.observation_columns, *header.applied_columns][:PANELS_MAX]
    colours = DARK if dark else LIGHT
    height = len(names) * (HEIGHT + GAP) + TOP + 12
    title = escape(one_line(f"{header.env_id} on {header.robot}", 100), _QUOTES)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}" '
        f'font-family="sans-serif" font-size="11" fill="{colours.ink}">',
        f'<rect width="{WIDTH}" height="{height}" fill="{colours.paper}"/>',
        f'<text x="{LEFT}" y="16" font-size="13">{title}</text>',
    ]
    for number, name in enumerate(names):
        parts += _panel(shown, name, TOP + number * (HEIGHT + GAP), colours, last=number == len(names) - 1)
    return "".join([*parts, "</svg>"])


def _panel(shown: Trajectory, name: str, top: int, colours: Colours, *, last: bool) -> Iterator[str]:
    t, values = _kept(shown["t"], shown[name])
    if not len(t):
        return
    low, high = (-math.pi, math.pi) if name == "theta" else _range(values)
    begin, end = float(t[0]), max(float(t[-1]), float(t[0]) + 1e-9)
    across = LEFT + (t - begin) / (end - begin) * (RIGHT - LEFT)
    down = top + (high - values.clip(low, high)) / (high - low) * HEIGHT
    if name == "theta":
        upper, lower = (
            top + (high - edge) / (high - low) * HEIGHT
            for edge in (min(UPRIGHT_BAND, high), max(-UPRIGHT_BAND, low))
        )
        size = f'width="{RIGHT - LEFT}" height="{max(0.0, lower - upper):.1f}"'
        yield f'<rect x="{LEFT}" y="{upper:.1f}" {size} fill="{colours.good}"/>'
    for share in (0.0, 0.5, 1.0):
        y, value = top + share * HEIGHT, high - share * (high - low)
        yield f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{colours.line}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
    yield f'<text x="{LEFT}" y="{top - 4}">{escape(one_line(LABELS.get(name, name), 60))}</text>'
    colour = colours.torque if name.startswith("applied") else colours.angle
    # An angle that passes the bottom jumps by a turn: no line is drawn across.
    breaks = np.abs(np.diff(values, prepend=values[0])) > (math.pi if name == "theta" else math.inf)
    line = "".join(
        f"{'M' if new or at == 0 else 'L'}{x:.1f} {y:.1f}"
        for at, (x, y, new) in enumerate(zip(across.tolist(), down.tolist(), breaks.tolist(), strict=True))
    )
    yield f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
    if last:
        y = top + HEIGHT + 16
        yield f'<text x="{LEFT}" y="{y}">{begin:.3g} s</text>'
        yield f'<text x="{RIGHT}" y="{y}" text-anchor="end">{end:.3g} s</text>'


def _kept(
    t: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The finite ones, at most `POINTS_MAX`."""
    keep = np.isfinite(t) & np.isfinite(values)
    every = max(1, math.ceil(int(keep.sum()) / POINTS_MAX))
    return t[keep][::every], values[keep][::every]


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """What the vertical axis spans, as far below zero as above: never nothing, never infinity."""
    most = min(1e9, float(np.abs(values).max()))
    return (-most, most) if most > 1e-6 else (-0.5, 0.5)
