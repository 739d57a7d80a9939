"""A robot's passports as people see them: what was identified, in which limits, and what changed. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from github_app.models import Passport


@dataclass(frozen=True)
class Quantity:
    """Something a passport states: its name there, in words, and its unit."""

    name: str
    words: str
    unit: str


QUANTITIES = (
    Quantity("gravity", "gravity over inertia", "1/s²"),
    Quantity("torque_gain", "acceleration for each unit of action", "rad/s²"),
    Quantity("viscous", "viscous friction over inertia", "1/s"),
    Quantity("coulomb", "dry friction over inertia", "rad/s²"),
    Quantity("no_load_speed", "speed at which the motor has no torque left", "rad/s"),
    Quantity("dead_zone_duty", "duty below which the motor does not move", "of duty"),
    Quantity("delay", "from an action to its torque", "s"),
)
CHANGED = 0.01
"""Where a passport does not say how sure it is, a change by this share is one."""
WIDTH, HEIGHT, EDGE = 160.0, 28.0, 4.0
"""Of a plot of the history, in its own units; its edge is left free."""


@dataclass(frozen=True)
class Value:
    """A value, and the half-width of its 95 % confidence interval where that is known."""

    value: float
    half_width: float | None

    def differs(self, other: Value) -> bool:
        """Whether it has changed by more than what is not known of both."""
        if self.half_width is None or other.half_width is None:
            return abs(self.value - other.value) > CHANGED * max(abs(self.value), abs(other.value))
        return abs(self.value - other.value) > math.hypot(self.half_width, other.half_width)


@dataclass(frozen=True)
class Parameter:
    """A row of the passport in force.

    Attributes:
        value, half_width: As text; empty where nothing is known.
        limits: What a passport may say, as text.
        place: Where between the limits the value lies, 0..1, or None.
        points: Its history as a polyline, oldest first; empty for a single passport.
        dot: The end of that line.
    """

    quantity: Quantity
    value: str
    half_width: str
    limits: str
    place: float | None
    points: str
    dot: tuple[float, float] | None


@dataclass(frozen=True)
class Entry:
    """A row of the history: a passport, and what is different from the one before it, in words."""

    version: str
    plant: str
    since: datetime
    changes: tuple[str, ...]
    compared: bool


def parameters(history: Sequence[Passport]) -> list[Parameter]:
    """What the latest passport says; empty where that is not known yet.

    Args:
        history: The latest first.
    """
    if not history or not history[0].content:
        return []
    latest = history[0].content
    rows = []
    for quantity in QUANTITIES:
        value = _value(latest, quantity.name)
        if value is None:
            continue
        low, high = _limits(latest, quantity.name)
        past = [_value(each.content or {}, quantity.name) for each in reversed(history)]
        points = _points([each.value for each in past if each is not None])
        rows.append(
            Parameter(
                quantity,
                number(value.value),
                f"± {number(value.half_width)}" if value.half_width else "",
                f"{number(low)} to {number(high)}" if low < high else "",
                (value.value - low) / (high - low) if low < high else None,
                " ".join(f"{x:g},{y:g}" for x, y in points) if len(points) > 1 else "",
                points[-1] if len(points) > 1 else None,
            )
        )
    return rows


def entries(history: Sequence[Passport]) -> list[Entry]:
    """The history, the latest first, each with what it changed."""
    found = []
    for place, passport in enumerate(history):
        before = history[place + 1].content if place + 1 < len(history) else None
        compared = bool(passport.content and before)
        changes = _changes(passport.content or {}, before or {}) if compared else ()
        found.append(Entry(passport.version, passport.plant, passport.since, changes, compared))
    return found


def _changes(now: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[str, ...]:
    changes = []
    for quantity in QUANTITIES:
        value, old = _value(now, quantity.name), _value(before, quantity.name)
        if value is not None and old is not None and value.differs(old):
            name = quantity.name.replace("_", " ")
            changes.append(f"{name} {number(old.value)} → {number(value.value)} {quantity.unit}")
    return tuple(changes)


def number(value: float) -> str:
    """Three or four digits, as a person would write them."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _value(content: Mapping[str, Any], name: str) -> Value | None:
    """A simulated robot's passport has its parameters only."""
    found = content.get(name, _map(content, "parameters").get(name))
    value = _number(found)
    return None if value is None else Value(value, _number(_map(content, "half_widths").get(name)))


def _limits(content: Mapping[str, Any], name: str) -> tuple[float, float]:
    found = _map(content, "limits").get(name)
    if isinstance(found, list) and len(found) == 2:
        low, high = map(_number, found)
        if low is not None and high is not None:
            return low, high
    return 0.0, 0.0


def _map(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(found: object) -> float | None:
    """It, if it is a number: a runner could have sent anything."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if math.isfinite(found) else None


def _points(values: Sequence[float]) -> list[tuple[float, float]]:
    """A line through the values, drawn between their least and their largest."""
    low, high = min(values), max(values)
    step = (WIDTH - 2 * EDGE) / max(1, len(values) - 1)
    span = (high - low) or 1.0
    inner = HEIGHT - 2 * EDGE
    return [
        (
            round(EDGE + step * index, 1),
            round(HEIGHT - EDGE - inner * ((value - low) / span if high > low else 0.5), 1),
        )
        for index, value in enumerate(values)
    ]
