"""Where the pendulums of a vector environment begin: `SimPlant.reset`, for many of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raas_gym.plants import checked_start
from raas_gym.streams import UniformStreams

Floats = NDArray[np.float64]
Index = NDArray[np.intp]


def rows_of(mask: Any, size: int) -> Index:
    """The indices that a reset mask, bool (size,), chooses; all for None. Raises ValueError."""
    if mask is None:
        return np.arange(size)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (size,):
        raise ValueError(f"reset_mask must be a NumPy array of bool of shape ({size},)")
    if not mask.any():
        raise ValueError("reset_mask chooses no pendulum; set at least one entry")
    return np.flatnonzero(mask)


def draw_starts(
    streams: UniformStreams, rows: Index, size: int, *, start: Any, rest: Floats, options: Mapping[str, Any]
) -> tuple[Floats, Floats]:
    """θ [rad] and θ̇ [rad/s] of the chosen rows, each drawn from its own stream.

    rest: the angles (rows,) up to which dry friction holds each of them off the bottom.
    """
    if "theta" in options or "theta_dot" in options:
        return _option(options, "theta", math.pi, size)[rows], _option(options, "theta_dot", 0.0, size)[rows]
    if checked_start(start) == "random" or "x_init" in options or "y_init" in options:
        x = np.abs(_option(options, "x_init", math.pi, size)[rows])
        y = np.abs(_option(options, "y_init", 1.0, size)[rows])
        drawn = streams.draw(rows, 2)
        return _between(x, drawn[:, 0]), _between(y, drawn[:, 1])
    return math.pi + _between(rest, streams.draw(rows, 1)[:, 0]), np.zeros(rows.size)


def _between(bound: Floats, drawn: Floats) -> Floats:
    """What `Generator.uniform(-bound, bound)` makes of a draw from 0..1."""
    spread: Floats = -bound + (bound + bound) * drawn
    return spread


def _option(options: Mapping[str, Any], name: str, default: float, size: int) -> Floats:
    """A reset option for every pendulum: one number, or one each."""
    value = np.asarray(options.get(name, default), dtype=np.float64)
    if value.shape not in ((), (size,)) or not np.isfinite(value).all():
        raise ValueError(f"reset option {name} must be a finite number, or {size} of them")
    return np.broadcast_to(value, (size,))
