"""A recording as a short moving picture: pendulum, torque and the simulation's ghost, with the angle's trace.

A GIF, because every place shows one, GitHub's comments included. It lasts as long as the task is scored, in
real time; what is longer is cut. Frames share one palette of colours, and each is drawn at twice its size and
made smaller, which smooths its edges. See docs/decisions/0014-replay.md.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from github_app.replay_data import ghost_of
from github_app.user_text import one_line
from raas_gym.dynamics import MAX_TORQUE
from raas_gym.trajectory import Trajectory, TrajectoryError

WIDTH, HEIGHT = 280, 340
SCALE = 2
FRAME_S = 0.08
"""Between two frames: GIF counts hundredths of a second, and browsers slow down what is faster than 0.02."""
LONGEST_S = 20.0
BYTES_MAX = 2_000_000
COLOURS = 40
GROUND, PAPER, INK, SOFT, LINE = "#f5f6f8", "#ffffff", "#14181d", "#525c68", "#d9dee4"
ROD, BOB, GHOST, TORQUE = "#2a323c", "#0b57c7", "#b4cbee", "#c2410c"
_CENTRE, _RIM, _ROD = (WIDTH // 2, 142), 118, 94
_TRACE = (16, 282, WIDTH - 16, 326)


@dataclass(frozen=True)
class _Frame:
    """What one picture shows; angles in rad, time in s, the trace up to `share` of its width."""

    t: float
    theta: float
    ghost: float | None
    torque: float
    share: float


def gif(trajectory: Trajectory) -> bytes:
    """The first episode as an animated GIF of at most `BYTES_MAX` bytes.

    Raises:
        TrajectoryError: It is not a pendulum's.
    """
    shown = trajectory.episode(0)
    shown = Trajectory(shown.header, shown.rows[: math.ceil(LONGEST_S / shown.header.dt)])
    if not {"theta", "applied"} <= set(shown.header.columns) or not len(shown):
        raise TrajectoryError("only a pendulum can be drawn; download the recording")
    shown = Trajectory(shown.header, np.nan_to_num(shown.rows, posinf=0.0, neginf=0.0))
    frame_s, drawn = FRAME_S, b""
    while not drawn or len(drawn) > BYTES_MAX:
        drawn = _encoded(shown, frame_s)
        frame_s *= 2
    return drawn


def _encoded(shown: Trajectory, frame_s: float) -> bytes:
    sheet = _Sheet(shown)
    frames = _frames(shown, frame_s)
    palette = sheet.draw(frames[len(frames) // 2]).quantize(COLOURS)
    pictures = [sheet.draw(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    target = io.BytesIO()
    last = [round(frame_s * 1000)] * (len(pictures) - 1) + [1500]
    pictures[0].save(
        target, "GIF", save_all=True, append_images=pictures[1:], duration=last, loop=0, optimize=False
    )
    return target.getvalue()


def _frames(shown: Trajectory, frame_s: float) -> list[_Frame]:
    dt, count = shown.header.dt, len(shown)
    ghost = ghost_of(shown)
    every = max(1, round(frame_s / dt))
    theta, torque, t = shown["theta"], shown["applied"], shown["t"]
    last = max(1, count - 1)
    return [
        _Frame(
            float(t[at]),
            float(theta[at]),
            None if ghost is None else float(ghost[at]),
            float(torque[at]),
            at / last,
        )
        for at in range(0, count, every)
    ]


class _Sheet:
    """What is the same in every frame, and how the rest is drawn on it."""

    def __init__(self, shown: Trajectory) -> None:
        header = shown.header
        self._font = ImageFont.load_default(13 * SCALE)
        self._ground = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), GROUND)
        draw = ImageDraw.Draw(self._ground)
        _disc(draw, _CENTRE, _RIM, fill=PAPER, outline=LINE)
        for turn in range(4):
            draw.line([_at(turn * math.pi / 2, r) for r in (_RIM + 1, _RIM + 7)], fill=SOFT, width=2 * SCALE)
        name = "".join(c for c in one_line(header.robot, 24) if c.isascii())
        draw.text((16 * SCALE, 8 * SCALE), name, INK, self._font)
        left, top, right, bottom = _TRACE
        middle = (top + bottom) // 2
        draw.rectangle([x * SCALE for x in _TRACE], fill=PAPER)
        draw.line([left * SCALE, middle * SCALE, right * SCALE, middle * SCALE], LINE, SCALE)
        self._trace = _trace(shown["theta"])
        for piece in self._pieces(1.0):
            draw.line(piece, GHOST, SCALE)

    def draw(self, frame: _Frame) -> Image.Image:
        """One frame."""
        picture = self._ground.copy()
        draw = ImageDraw.Draw(picture)
        clock = f"{frame.t:.1f} s"
        width = draw.textlength(clock, self._font)
        draw.text(((WIDTH - 16) * SCALE - width, 8 * SCALE), clock, INK, self._font)
        self._torque(draw, frame.torque)
        if frame.ghost is not None:
            _rod(draw, frame.ghost, GHOST, GHOST)
        _rod(draw, frame.theta, ROD, BOB)
        _disc(draw, _CENTRE, 7, fill=PAPER, outline=ROD, width=4)
        for piece in self._pieces(frame.share):
            draw.line(piece, BOB, 2 * SCALE, joint="curve")
        return picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)

    def _torque(self, draw: ImageDraw.ImageDraw, torque: float) -> None:
        sweep = max(-1.0, min(1.0, torque / MAX_TORQUE)) * 90
        if abs(sweep) < 1:
            return
        radius = 109 * SCALE
        x, y = (part * SCALE for part in _CENTRE)
        # Pillow's angles run clockwise from the right; ours counter-clockwise from the top.
        first, second = sorted((-90.0, -90.0 - sweep))
        draw.arc([x - radius, y - radius, x + radius, y + radius], first, second, TORQUE, 8 * SCALE)
        tip, side = math.radians(sweep), math.copysign(0.11, sweep)
        draw.polygon([_at(tip + side, 105), _at(tip, 97), _at(tip, 113)], fill=TORQUE)

    def _pieces(self, share: float) -> list[list[tuple[float, float]]]:
        """The trace up to a share of it, cut where the angle passes the bottom."""
        left, top, right, bottom = (edge * SCALE for edge in _TRACE)
        upto = max(1, math.ceil(share * len(self._trace)))
        pieces: list[list[tuple[float, float]]] = [[]]
        before = self._trace[0]
        for at, theta in enumerate(self._trace[:upto]):
            if abs(theta - before) > math.pi:
                pieces.append([])
            x = left + (right - left) * at / max(1, len(self._trace) - 1)
            pieces[-1].append((x, (top + bottom) / 2 - theta / math.pi * (bottom - top) * 0.46))
            before = theta
        return [piece for piece in pieces if len(piece) > 1]


def _trace(theta: NDArray[np.float64]) -> list[float]:
    every = max(1, len(theta) // (WIDTH * SCALE // 2))
    found: list[float] = theta[::every].clip(-math.pi, math.pi).tolist()
    return found


def _rod(draw: ImageDraw.ImageDraw, theta: float, rod: str, bob: str) -> None:
    draw.line([_at(theta, 0), _at(theta, _ROD)], rod, 9 * SCALE)
    _disc(draw, _at(theta, _ROD, 1), 14, fill=bob)


def _at(theta: float, radius: float, scale: int = SCALE) -> tuple[float, float]:
    """The point at an angle past upright, counter-clockwise, in pixels of the large picture."""
    return (
        (_CENTRE[0] - math.sin(theta) * radius) * scale,
        (_CENTRE[1] - math.cos(theta) * radius) * scale,
    )


def _disc(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    radius: float,
    *,
    fill: str,
    outline: str | None = None,
    width: int = 1,
) -> None:
    x, y, r = centre[0] * SCALE, centre[1] * SCALE, radius * SCALE
    draw.ellipse([x - r, y - r, x + r, y + r], fill, outline, width * SCALE)
