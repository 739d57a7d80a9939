"""The pendulum of `raas sim`: which one, what became of it, and its state between two ticks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raas_gym.dynamics import MAX_TORQUE, PRESETS, TURN, PendulumParams
from raas_gym.env import PendulumEnv
from runner.sim_policies import Policy

_ESTIMATES = ("gravity", "torque_gain", "viscous", "coulomb", "no_load_speed", "delay")
_PASSPORT_MAX = 1_000_000


class WorldError(Exception):
    """There is no such pendulum, or it cannot be shown; one sentence and what to do next."""


def params_of(name: str) -> PendulumParams | str:
    """A preset's name, or the parameters in a passport's file or in what a trajectory says of its robot.

    Raises:
        WorldError: It is neither.
    """
    if name in PRESETS:
        return name
    path = Path(name)
    try:
        if path.stat().st_size > _PASSPORT_MAX:
            raise WorldError(f"--params {name} is over 1 MB: it is no passport")
        data = json.loads(path.read_text("utf-8"))
        return PendulumParams.from_dict(_parameters(data))
    except OSError as error:
        raise WorldError(f"--params {name} is neither {', '.join(PRESETS)} nor a passport's file") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WorldError(
            f"--params {name} is no passport ({error}): calibration writes current.json"
        ) from error


def _parameters(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A passport's estimates as parameters; other fields keep what a typical robot has.

    The breakaway is to dry friction as in the measured preset, as on the robot (`hardware.passport`).
    """
    if "parameters" in data:
        return dict(data["parameters"])
    measured = PRESETS["measured"]
    values: dict[str, Any] = {name: float(data[name]["value"]) for name in _ESTIMATES}
    values["breakaway"] = measured.breakaway / measured.coulomb * values["coulomb"]
    values["encoder_count"] = TURN / float(data["counts_per_turn"])
    return values


class World:
    """A pendulum, who pushes it, and what it came to.

    Args:
        params: See `params_of`.
        policy: Who pushes.
        seed: Of the first start.
        render_mode: `human` for a window.

    Raises:
        WorldError: `params` names no pendulum.
    """

    def __init__(self, params: str, policy: Policy, seed: int | None, render_mode: str | None = None) -> None:
        self.env = PendulumEnv(params_of(params), render_mode=render_mode)
        self._policy = policy
        self.torque = self.total = self.upright_s = 0.0
        self.ticks = 0
        self.begin(seed)

    @property
    def t(self) -> float:
        """Time since the beginning [s]."""
        return self.ticks * self.env.dt

    def begin(self, seed: int | None = None) -> None:
        """Hang still again."""
        self._seen, _ = self.env.reset(seed=seed)
        self._before = self._after = self.env.measurement
        self.torque = self.total = self.upright_s = 0.0
        self.ticks = 0

    def tick(self) -> None:
        """One control period. May raise PolicyError."""
        torque = float(np.clip(self._policy(self._seen), -MAX_TORQUE, MAX_TORQUE))
        self._seen, reward, _, _, info = self.env.step(np.array([torque], dtype=np.float32))
        self._before, self._after = self._after, self.env.measurement
        self.torque, self.total, self.ticks = info["applied"], self.total + reward, self.ticks + 1
        self.upright_s += self.env.dt * (abs(math.remainder(self._after[0], TURN)) < 0.2)

    def between(self, share: float) -> tuple[float, float]:
        """θ [rad, unwrapped] and θ̇ [rad/s] a share of the way from the last tick but one to the last."""
        share = min(1.0, max(0.0, share))
        (theta, theta_dot), (theta_after, theta_dot_after) = self._before, self._after
        return theta + share * (theta_after - theta), theta_dot + share * (theta_dot_after - theta_dot)

    def values(self, share: float = 1.0) -> list[str]:
        """What stands below the picture."""
        theta, theta_dot = self.between(share)
        return [
            f"θ {math.remainder(theta, TURN):+5.2f} rad",
            f"θ̇ {theta_dot:+6.2f} rad/s",
            f"torque {self.torque:+5.2f}",
            f"return {self.total:8.1f}",
            f"t {self.t:5.1f} s",
        ]

    def summary(self) -> str:
        """What it came to, in a sentence."""
        return f"return {self.total:.1f} in {self.t:.1f} s, upright for {self.upright_s:.1f} s"
