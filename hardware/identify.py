"""System identification: from recorded edges and duties to the pendulum's parameters.

Output-error least squares. The model of `raas_gym.dynamics` with the raw motor is simulated over short
segments; the residuals are the differences, in counts, between the simulated angle and the encoder's
boundaries at the exact times of their edges. Segments are short, because disturbances add up within one.
Unknown are seven parameters of the robot, its zero, and angle and velocity at each segment's start.
Gauss-Newton with numerical derivatives, from coarse to fine; all segments and all perturbed parameters are
simulated side by side in one NumPy batch.

Confidence intervals come from the sandwich covariance with segments as clusters, because the disturbances
within a segment are correlated. Every fifth segment is held out: there only its start is fitted, and the RMS
residual says how well the parameters predict data they have not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware.errors import HardwareError
from raas_gym.dynamics import MAX_TORQUE, TURN

Array = NDArray[np.float64]

NAMES = ("gravity", "torque_gain", "viscous", "coulomb", "drag", "dead_zone", "delay", "zero")
"""In their units; drag is torque_gain/no_load_speed's share 1/no_load_speed [s/rad], zero in counts."""

STEP_S = 0.001
SEGMENT_S = 0.5
MIN_EDGES = 12
HELD_OUT = 5
BREAKAWAY = 1.3
"""Friction at rest over friction in motion: typical, and hardly visible in motion."""

_NUDGE = np.array([1e-3, 1e-3, 1e-4, 1e-3, 1e-5, 1e-4, 1e-4, 1e-2])
_NUDGE_START = np.array([1e-4, 1e-3])
COARSE = (100.0, 10.0)
"""How many nudges wide the differences are, from the first descent to the last."""
_MOST = np.array([4.0, 1.5, 0.3, 0.5, 0.01, 0.1, 0.01, 20.0])
"""Longest step of an iteration, for a start far away."""


class FitError(HardwareError):
    """The data do not determine the parameters, or the model does not explain the data."""


@dataclass(frozen=True)
class Recording:
    """What was recorded: edges (times [s], boundaries [counts]) and commands (times [s], action-size duties).

    `commands` hold from their time to the next one; actions here are duty·4, signed, without compensation.
    """

    edge_times: Array
    boundaries: Array
    command_times: Array
    commands: Array
    counts_per_turn: float


@dataclass(frozen=True)
class Trace:
    """A segment's edges: times [s], boundaries [counts], predicted minus seen [counts]."""

    times: Array
    boundaries: Array
    residuals: Array
    held_out: bool


@dataclass(frozen=True)
class Fit:
    """Values and half-widths of 95 % intervals by name; RMS residuals [counts]; every segment."""

    values: dict[str, float]
    half_widths: dict[str, float]
    rms: float
    held_out_rms: float
    traces: tuple[Trace, ...] = ()


@dataclass(frozen=True)
class _Problem:
    """What does not change while a fit descends; differences are `coarse` nudges wide."""

    recording: Recording
    segments: list[_Segment]
    columns: list[int]
    coarse: float


@dataclass(frozen=True)
class _Segment:
    start: float
    times: Array
    boundaries: Array
    state: Array


def fit(
    recording: Recording, guess: dict[str, float], free: Sequence[str] = NAMES, iterations: int = 25
) -> Fit:
    """Fit the `free` parameters; the others stay as guessed.

    Raises:
        FitError: Too little motion, no convergence.
    """
    segments = _cut(recording, guess["zero"])
    held = [s for i, s in enumerate(segments) if i % HELD_OUT == HELD_OUT - 1]
    used = [s for i, s in enumerate(segments) if i % HELD_OUT != HELD_OUT - 1]
    if len(used) < 2:
        raise FitError("too little motion was recorded: the rod did not move, or the encoder did not see it")
    columns = [NAMES.index(name) for name in free]
    theta = np.array([guess[name] for name in NAMES])
    theta, jacobians, residuals = _solve(recording, used, theta, columns, iterations)
    half = 1.96 * np.sqrt(np.diag(_covariance(jacobians, residuals))[: len(columns)])
    unseen = _solve(recording, held, theta, [], 8)[2] if held else residuals
    traces = [*_traces(used, residuals, False), *(_traces(held, unseen, True) if held else [])]
    return Fit(
        values=dict(zip(NAMES, theta.tolist(), strict=True)),
        half_widths=dict(zip(free, half.tolist(), strict=True)),
        rms=_rms(residuals),
        held_out_rms=_rms(unseen),
        traces=tuple(sorted(traces, key=lambda trace: float(trace.times[0]))),
    )


def _traces(segments: list[_Segment], residuals: list[Array], held_out: bool) -> list[Trace]:
    return [
        Trace(segment.start + segment.times, segment.boundaries, residual, held_out)
        for segment, residual in zip(segments, residuals, strict=True)
    ]


def _cut(recording: Recording, zero: float) -> list[_Segment]:
    """Segments in which the rod moved, each with a first guess of its start."""
    times, boundaries = recording.edge_times, recording.boundaries
    radians = TURN / recording.counts_per_turn
    segments = []
    if len(times) < 2:
        return []
    for start in np.arange(times[0], times[-1] - SEGMENT_S, SEGMENT_S):
        inside = (times >= start) & (times < start + SEGMENT_S)
        if inside.sum() < MIN_EDGES:
            continue
        t, b = times[inside], boundaries[inside]
        near = max(2, int((t < start + 0.06).sum()))
        slope = np.polyfit(t[:near] - start, b[:near], 1) if t[near - 1] > t[0] else np.array([0.0, b[0]])
        segments.append(_Segment(start, t - start, b, np.array([(slope[1] - zero), slope[0]]) * radians))
    return segments


def _solve(
    recording: Recording, segments: list[_Segment], theta: Array, columns: list[int], iterations: int
) -> tuple[Array, list[Array], list[Array]]:
    """Gauss-Newton over the parameters in `columns` and every segment's start, from coarse to fine.

    Where the rod sticks and breaks away the residuals have kinks, and steps end in front of them. Derivatives
    over wider differences look across.
    """
    states = np.array([segment.state for segment in segments])
    for coarse in COARSE:
        problem = _Problem(recording, segments, columns, coarse)
        theta, states, jacobians, residuals = _descend(problem, theta, states, iterations)
    return theta, jacobians, residuals


def _descend(
    problem: _Problem, theta: Array, states: Array, iterations: int
) -> tuple[Array, Array, list[Array], list[Array]]:
    """Damped steps until they gain nothing any more."""
    columns, damping = problem.columns, 1e-3
    jacobians, residuals = _linearise(problem, theta, states)
    for _ in range(iterations):
        cost = sum(float(r @ r) for r in residuals)
        normal, gradient = _normal(jacobians, residuals, len(columns))
        scaled = normal + damping * np.diag(np.diag(normal) + 1e-12)
        step = -np.linalg.solve(scaled, gradient)
        limit = _MOST[columns]
        step[: len(columns)] = np.clip(step[: len(columns)], -limit, limit)
        trial_theta, trial_states = theta.copy(), states + step[len(columns) :].reshape(states.shape)
        trial_theta[columns] = _plausible(theta[columns] + step[: len(columns)], columns)
        trial = _linearise(problem, trial_theta, trial_states)
        trial_cost = sum(float(r @ r) for r in trial[1])
        if trial_cost < cost:
            theta, states, (jacobians, residuals) = trial_theta, trial_states, trial
            damping = max(damping / 5.0, 1e-9)
            if cost - trial_cost < 1e-6 * cost:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return theta, states, jacobians, residuals


def _plausible(values: Array, columns: list[int]) -> Array:
    """Inside of what the model can compute: nothing but zero and the like may be negative."""
    lows = np.array([1.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, -np.inf])[columns]
    highs = np.array([500.0, 200.0, 20.0, 20.0, 0.2, 1.6, 0.2, np.inf])[columns]
    return np.clip(values, lows, highs)


def _linearise(problem: _Problem, theta: Array, states: Array) -> tuple[list[Array], list[Array]]:
    """Residuals of each segment, and their derivatives by the columns and by the segment's start."""
    recording, segments, columns = problem.recording, problem.segments, problem.columns
    nudge, nudge_start = problem.coarse * _NUDGE, problem.coarse * _NUDGE_START
    sets = np.vstack([theta, *(theta + nudge * (np.arange(len(NAMES)) == c) for c in columns), theta, theta])
    starts = np.repeat(states[None, :, :], len(sets), axis=0)
    starts[-2, :, 0] += nudge_start[0]
    starts[-1, :, 1] += nudge_start[1]
    angles = _simulate(recording, segments, sets, starts)
    radians = TURN / recording.counts_per_turn
    nudges = np.concatenate([nudge[columns], nudge_start])
    jacobians, residuals = [], []
    for index, segment in enumerate(segments):
        where = segment.times / STEP_S
        low = where.astype(int)
        share = where - low
        path = angles[:, index, :]
        predicted = (path[:, low] * (1.0 - share) + path[:, low + 1] * share) / radians
        predicted += sets[:, NAMES.index("zero"), None]
        residuals.append(predicted[0] - segment.boundaries)
        jacobians.append(((predicted[1:] - predicted[0]) / nudges[:, None]).T)
    return jacobians, residuals


def _simulate(recording: Recording, segments: list[_Segment], sets: Array, starts: Array) -> Array:
    """Angles from hanging [rad], (parameter sets, segments, steps + 1)."""
    steps = round(SEGMENT_S / STEP_S) + 1
    drives = np.stack([_drives(recording, segments, one, steps) for one in sets])
    gravity, gain, viscous, coulomb, drag = (sets[:, i, None] for i in range(5))
    angle, speed = starts[:, :, 0].copy(), starts[:, :, 1].copy()
    angles = np.empty((*angle.shape, steps + 1))
    angles[:, :, 0] = angle
    half = 0.5 * STEP_S
    slide, stick = STEP_S * coulomb, STEP_S * coulomb * BREAKAWAY
    for step in range(steps):
        drive = drives[:, :, step]
        angle = angle + half * speed
        dry = np.where(speed == 0.0, stick, slide)
        torque = gain * (drive - np.abs(drive) * drag * speed)
        speed = speed + STEP_S * (torque - viscous * speed - gravity * np.sin(angle))
        speed = np.copysign(np.maximum(np.abs(speed) - dry, 0.0), speed)
        angle = angle + half * speed
        angles[:, :, step + 1] = angle
    return angles


def _drives(recording: Recording, segments: list[_Segment], one: Array, steps: int) -> Array:
    """The mean drive in each step, (segments, steps): the commands past the dead zone, a delay later."""
    dead_zone, delay = one[NAMES.index("dead_zone")], one[NAMES.index("delay")]
    size = np.abs(recording.commands)
    past = np.copysign(
        np.maximum(size - dead_zone, 0.0) * MAX_TORQUE / (MAX_TORQUE - dead_zone), recording.commands
    )
    times = np.append(recording.command_times, recording.command_times[-1] + 1e6)
    total = np.concatenate([[0.0], np.cumsum(past * np.diff(times))])
    grid = np.array([s.start for s in segments])[:, None] + STEP_S * np.arange(steps + 1) - delay
    means: Array = np.diff(np.interp(grid, times, total), axis=1) / STEP_S
    return means


def _normal(jacobians: list[Array], residuals: list[Array], shared: int) -> tuple[Array, Array]:
    """JᵀJ and Jᵀr of all unknowns: the shared ones, then two for each segment."""
    size = shared + 2 * len(jacobians)
    normal, gradient = np.zeros((size, size)), np.zeros(size)
    for index, (jacobian, residual) in enumerate(zip(jacobians, residuals, strict=True)):
        at = np.r_[0:shared, shared + 2 * index : shared + 2 * index + 2]
        normal[np.ix_(at, at)] += jacobian.T @ jacobian
        gradient[at] += jacobian.T @ residual
    return normal, gradient


def _covariance(jacobians: list[Array], residuals: list[Array]) -> Array:
    """The sandwich covariance, segments as clusters."""
    shared = jacobians[0].shape[1] - 2
    normal, _ = _normal(jacobians, residuals, shared)
    try:
        bread = np.linalg.inv(normal)
    except np.linalg.LinAlgError as error:
        raise FitError("the motion does not tell the parameters apart: was the motor on?") from error
    scores = np.zeros((len(jacobians), len(normal)))
    for index, (jacobian, residual) in enumerate(zip(jacobians, residuals, strict=True)):
        at = np.r_[0:shared, shared + 2 * index : shared + 2 * index + 2]
        scores[index, at] = jacobian.T @ residual
    return np.asarray(bread @ (scores.T @ scores) @ bread)


def _rms(residuals: list[Array]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(residuals) ** 2)))
