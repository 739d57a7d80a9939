"""Scores of a trajectory, all over the task's fixed horizon of its first episode.

Rewards are negative, so an episode that ends early would pay if only its own ticks counted. Every
score therefore runs over exactly `header.horizon` ticks: rows beyond it do not count, and each
missing row is charged the worst there is (the worst cost; not upright; full torque at full speed).
The controller records a row a tick whether the client stepped or not, so slow stepping is charged too.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from raas_gym.dynamics import MAX_SPEED, MAX_TORQUE, WORST_COST
from raas_gym.trajectory import Trajectory

UPRIGHT_BAND = 0.2
"""|θ| in rad that counts as upright: wide enough for an encoder of 480 counts a turn."""
HOLD = 1.0
"""Seconds upright without a break that make a swing-up."""

# Normalisers of the RealAIGym score for the simple pendulum, in this order.
_NORMALISERS = {
    "swing_up_time": 20.0,
    "energy": 60.0,
    "torque_squared": 100.0,
    "smoothness": 4.0,
    "speed_squared": 400.0,
}


@dataclass(frozen=True)
class Scores:
    """The pendulum's scores over the horizon of H ticks of dt seconds; u is the applied torque.

    ticks             rows of the first episode that counted (at most H)
    episode_return    Σ reward over H ticks
    swing_up_time     s until |θ| ≤ 0.2 rad begins to hold for 1 s; H·dt if it never does
    upright           share of the H ticks with |θ| ≤ 0.2 rad, 0..1
    upright_time      the same in seconds
    energy            Σ |u·θ̇|·dt, mechanical work both ways (J, if an action is 1 N·m)
    torque_squared    Σ u²·dt
    speed_squared     Σ θ̇²·dt
    smoothness        mean |u_k − u_(k−1)|; smaller is smoother
    composite         RealAIGym: success · (1 − 1/5 Σ tanh(π c/n)) over swing-up time (n = 20 s), energy (60),
                      torque² (100), smoothness (4), velocity² (400); success means that a swing-up happened
    """

    ticks: int
    episode_return: float
    swing_up_time: float
    upright: float
    upright_time: float
    energy: float
    torque_squared: float
    speed_squared: float
    smoothness: float
    composite: float

    def as_dict(self) -> dict[str, float | int]:
        """By name, ready for JSON."""
        return asdict(self)


def episode_return(trajectory: Trajectory, worst_reward: float) -> float:
    """Σ reward over the horizon of the first episode, any environment; missing ticks earn `worst_reward`."""
    first = trajectory.episode(0)
    counted = first["reward"][: trajectory.header.horizon]
    return float(counted.sum() + worst_reward * (trajectory.header.horizon - len(counted)))


def pendulum_scores(trajectory: Trajectory) -> Scores:
    """The scores of a trajectory with columns theta, theta_dot and applied. Raises KeyError without them."""
    dt, horizon = trajectory.header.dt, trajectory.header.horizon
    first = trajectory.episode(0)
    ticks = min(len(first), horizon)
    theta = _padded(first["theta"], horizon, math.pi)
    speed = _padded(first["theta_dot"], horizon, MAX_SPEED)
    torque = _padded(first["applied"], horizon, MAX_TORQUE)
    missing = np.zeros(horizon - ticks) + 2.0 * MAX_TORQUE
    jumps = np.concatenate([np.abs(np.diff(torque[:ticks])), missing])
    upright = np.abs(theta) <= UPRIGHT_BAND
    held_from = first_held(upright, max(1, round(HOLD / dt)))
    costs = {
        "swing_up_time": (horizon if held_from is None else held_from) * dt,
        "energy": float(np.abs(torque * speed).sum() * dt),
        "torque_squared": float((torque**2).sum() * dt),
        "smoothness": float(jumps.mean()) if jumps.size else 0.0,
        "speed_squared": float((speed**2).sum() * dt),
    }
    share = float(upright.mean())
    return Scores(
        ticks=ticks,
        episode_return=episode_return(trajectory, -WORST_COST),
        upright=share,
        upright_time=share * horizon * dt,
        composite=_composite(costs) if held_from is not None else 0.0,
        **costs,
    )


def first_held(flags: NDArray[np.bool_], length: int) -> int | None:
    """Index at which the first run of at least `length` True values begins, or None."""
    run = 0
    for index, flag in enumerate(flags.tolist()):
        run = run + 1 if flag else 0
        if run == length:
            return index - length + 1
    return None


def _composite(costs: dict[str, float]) -> float:
    terms = [math.tanh(math.pi * costs[name] / scale) for name, scale in _NORMALISERS.items()]
    return 1.0 - sum(terms) / len(terms)


def _padded(values: NDArray[np.float64], horizon: int, worst: float) -> NDArray[np.float64]:
    counted = values[:horizon]
    return np.concatenate([counted, np.full(horizon - len(counted), worst)])
