"""Who pushes the pendulum of `raas sim`: the arrow keys, a program's `policy`, or chance."""

from __future__ import annotations

import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raas_gym.dynamics import MAX_TORQUE
from runner import starter

HOLD_S = 0.35
"""A push lasts so long after its key was heard [s]: terminals repeat a held key, and tell no release. The
first repeat comes after a quarter to half a second, the next ones after a thirtieth."""

Policy = Callable[[NDArray[np.float32]], float]
"""Observation (cos θ, sin θ, θ̇) -> torque, limited to ±2 by who calls."""


class PolicyError(Exception):
    """There is no such policy; one sentence and what to do next."""


class Keyboard:
    """Left arrow pushes counter-clockwise, right arrow clockwise: the way a rod that stands would fall."""

    def __init__(self) -> None:
        self._torque, self._until = 0.0, 0.0

    def press(self, key: str) -> None:
        """A key was heard."""
        if key in ("left", "right"):
            self._torque = MAX_TORQUE if key == "left" else -MAX_TORQUE
            self._until = time.monotonic() + HOLD_S
        elif key in ("space", "down", "up"):
            self._until = 0.0

    def __call__(self, _observation: NDArray[np.float32]) -> float:
        """The torque now."""
        return self._torque if time.monotonic() < self._until else 0.0


def chance() -> Policy:
    """Any torque, anew each tick."""
    source = np.random.default_rng()
    return lambda _observation: float(source.uniform(-MAX_TORQUE, MAX_TORQUE))


def controller(name: str) -> Policy:
    """`energy`, the starter repository's, or the `policy(observation)` of a Python file.

    Raises:
        PolicyError: There is none, or the file does not run.
    """
    if name == "energy":
        return _policy(starter.PROGRAM)
    path = Path(name)
    if not path.is_file():
        raise PolicyError(
            f"--controller {name} is neither `energy` nor a Python file with a function policy(observation)"
        )
    return _policy(path)


def _policy(path: Path) -> Policy:
    try:
        found: Any = runpy.run_path(str(path)).get("policy")
    except Exception as error:
        raise PolicyError(f"{path} does not run ({type(error).__name__}: {error}): correct it") from error
    if not callable(found):
        raise PolicyError(f"{path} has no function policy(observation): `raas init` writes one to start from")

    def policy(observation: NDArray[np.float32]) -> float:
        try:
            torque = float(found(observation))
        except Exception as error:
            raise PolicyError(f"policy in {path} failed ({type(error).__name__}: {error})") from error
        if not np.isfinite(torque):
            raise PolicyError(f"policy in {path} answered {torque}: it has to be a torque from -2 to 2")
        return torque

    return policy
