"""The sim-to-real gap: how far a simulation's prediction is off, 0.2 s ahead.

Upright, an error grows as e^(5.3 t), so after 20 s any two runs differ by everything. The gap is therefore
measured over short predictions: at each tick the simulation starts from what was measured, gets the
actions that were really applied, and is compared with the measurement `AHEAD` seconds later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raas_gym.dynamics import PendulumParams, State, make_drive, make_sensor, make_step, wrapped
from raas_gym.trajectory import Trajectory

AHEAD = 0.2
"""Seconds of prediction: every effect has time to show, and an upright error grows threefold at most."""
RESEED = 0.5
"""A ghost begins anew from the measurement this often [s]: later it would show nothing but chaos."""


@dataclass(frozen=True)
class Gap:
    """Prediction errors of a trajectory against a parameter set.

    theta, theta_dot: error at each predicted tick (ticks − ahead,), rad and rad/s, measured minus predicted.
    theta_rms, theta_dot_rms: their root mean squares; NaN if nothing could be predicted.
    """

    theta: NDArray[np.float64]
    theta_dot: NDArray[np.float64]

    @property
    def theta_rms(self) -> float:
        """rad."""
        return _rms(self.theta)

    @property
    def theta_dot_rms(self) -> float:
        """rad/s."""
        return _rms(self.theta_dot)


def prediction_gap(trajectory: Trajectory, params: PendulumParams, ahead_s: float = AHEAD) -> Gap:
    """The gap over the first episode of a pendulum's trajectory.

    A robot applied an action `applied_at` seconds into its tick, so that much is added to the delay; a
    simulated one integrates it over the whole tick. Raises ValueError for a horizon under one tick or
    where the parameters' dt is not the trajectory's.
    """
    header, rows = trajectory.header, trajectory.episode(0)
    ahead = round(ahead_s / header.dt)
    _check(header.dt, params, ahead)
    ticks = _Ticks(rows, params)
    errors = [ticks.error(start, ahead) for start in range(len(rows) - ahead)]
    theta, theta_dot = np.array(errors, dtype=np.float64).reshape(-1, 2).T
    return Gap(theta, theta_dot)


def ghost(trajectory: Trajectory, params: PendulumParams, every_s: float = RESEED) -> NDArray[np.float64]:
    """θ of a simulation that runs beside the first episode, (ticks,), rad within [−π, π).

    It gets the actions that were really applied, and starts from the measurement at every `every_s` seconds:
    at those ticks it is the measured θ, and between them it drifts as the gap says. Raises ValueError as
    `prediction_gap` does.
    """
    header, rows = trajectory.header, trajectory.episode(0)
    every = round(every_s / header.dt)
    _check(header.dt, params, every)
    ticks = _Ticks(rows, params)
    found: list[float] = []
    for start in range(0, len(rows), every):
        found += [wrapped(theta) for theta in ticks.path(start, min(every, len(rows) - start))]
    return np.array(found, dtype=np.float64)


def _check(dt: float, params: PendulumParams, ticks: int) -> None:
    if ticks < 1 or not math.isclose(params.dt, dt):
        raise ValueError(f"a prediction needs at least one tick of {dt} s, and parameters with that dt")


class _Ticks:
    """Predicts from one tick of a trajectory to a later one."""

    def __init__(self, rows: Trajectory, params: PendulumParams) -> None:
        self._params = params
        self._theta, self._theta_dot = rows["theta"].tolist(), rows["theta_dot"].tolist()
        applied_at = [0.0] * len(rows) if rows.header.simulated else rows["applied_at"].tolist()
        drive = make_drive(params) or float
        # Whole periods of delay shift the actions; what remains falls within a tick.
        late = int(params.delay // params.dt)
        drives = [drive(torque) for torque in rows["applied"].tolist()]
        self._drives = [0.0] * (late + 1) + drives
        self._steps = [make_step(self._delayed(late_in_tick)) for late_in_tick in applied_at]
        self._sensor = make_sensor(replace(params, encoder_count=0.0))

    def _delayed(self, late_in_tick: float) -> PendulumParams:
        if not late_in_tick or self._params.integrator == "euler":
            return self._params
        rest = math.fmod(self._params.delay, self._params.dt) + late_in_tick
        return replace(self._params, delay=min(rest, self._params.dt * (1 - 1e-9)))

    def error(self, start: int, ahead: int) -> tuple[float, float]:
        """Measured minus predicted, `ahead` ticks after `start`."""
        state = self._seed(start)
        for tick in range(start, start + ahead):
            state = self._steps[tick](state, self._drives[tick + 1])
        theta, theta_dot = state[:2] if self._sensor is None else self._sensor(state)
        end = start + ahead
        return wrapped(self._theta[end] - theta), self._theta_dot[end] - theta_dot

    def path(self, start: int, ticks: int) -> list[float]:
        """θ at `start` and the ticks after it, `ticks` values, rad, unwrapped."""
        state = self._seed(start)
        found = [state[0]]
        for tick in range(start, start + ticks - 1):
            state = self._steps[tick](state, self._drives[tick + 1])
            found.append(state[0])
        return found

    def _seed(self, start: int) -> State:
        """The state at a tick, from what was measured there.

        The measured θ̇ is the mean over the velocity window, half of it old: what the torque in force and
        gravity did meanwhile is added.
        """
        p, theta, speed, drive = self._params, self._theta[start], self._theta_dot[start], self._drives[start]
        pull = p.gravity * math.sin(theta) + p.torque_gain * drive - p.viscous * speed
        friction = min(p.coulomb, abs(pull)) * math.copysign(1.0, speed or pull)
        return theta, speed + (pull - friction) * p.velocity_window / 2, theta, drive


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else math.nan
