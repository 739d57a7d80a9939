"""A recording as a replay needs it: few enough rows for a browser, and a simulation's ghost. Pure."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from raas_gym.dynamics import PendulumParams
from raas_gym.gap import AHEAD, RESEED, ghost, prediction_gap
from raas_gym.scores import UPRIGHT_BAND
from raas_gym.trajectory import Header, Trajectory

ROWS_MAX = 4000
"""Rows sent; of a longer recording every n-th."""
GHOST_TICKS_MAX = 20_000
"""Longest first episode that is simulated: about a second of computing."""
COLUMNS_MAX = 24
DIGITS = 5
"""Decimals sent: a hundredth of an encoder count, a hundredth of a millisecond."""

Column = list[float | None]


class ReplayQuery(BaseModel):
    """Which session of the job."""

    session: Annotated[int, Field(ge=0, le=999)] = 0


class Ghost(BaseModel):
    """A simulation with the passport's parameters under the same applied actions, for the first episode.

    Attributes:
        every_s: So often it starts anew from the measurement [s].
        ahead_s: How far ahead `error` predicts [s].
        theta: Its angle at each row [rad], null after the first episode.
        error: Measured minus predicted angle at each row, where the prediction began `ahead_s` before [rad].
        rms: Of all the errors of the first episode [rad].
    """

    every_s: float
    ahead_s: float
    theta: Column
    error: Column
    rms: float | None


class Replay(BaseModel):
    """One session's recording.

    Attributes:
        session: Its number; `sessions` is how many there are.
        passport: Version of the calibration in force, or `simulated`.
        dt: Seconds a tick.
        horizon: Ticks over which the task is scored.
        ticks: Rows of the recording.
        every: Only every n-th of them is here; `late` then tells of all n.
        started_at: When, by the robot's clock; `t` counts from about there.
        upright_band: So near to upright counts as upright [rad].
        columns: Values by column as in `trajectory.csv` (SI units), and `return`, the sum of the episode's
            rewards so far. What is no number is null.
        ghost: Null for other robots than the pendulum, and where the passport does not describe this one.
    """

    session: int
    sessions: int
    env_id: str
    robot: str
    simulated: bool
    passport: str
    dt: float
    horizon: int
    ticks: int
    every: int
    started_at: str
    upright_band: float
    columns: dict[str, Column]
    ghost: Ghost | None


def replay(trajectory: Trajectory, session: int, sessions: int) -> Replay:
    """The replay of one session's recording."""
    header = trajectory.header
    every = max(1, math.ceil(len(trajectory) / ROWS_MAX))
    names = [name for name in header.columns if name not in {"tick", "applied_at", "late"}][:COLUMNS_MAX]
    columns = {name: _column(trajectory[name], every) for name in names}
    columns["late"] = _column(_any_of(trajectory["late"], every), 1)
    columns["return"] = _column(_returns(trajectory), every)
    return Replay(
        session=session,
        sessions=sessions,
        env_id=header.env_id,
        robot=header.robot,
        simulated=header.simulated,
        passport=str(header.passport.get("version", header.passport.get("plant", "")))[:100],
        dt=header.dt,
        horizon=header.horizon,
        ticks=len(trajectory),
        every=every,
        started_at=header.started_at,
        upright_band=UPRIGHT_BAND,
        columns=columns,
        ghost=_ghost(trajectory, every),
    )


def params_of(header: Header) -> PendulumParams | None:
    """The pendulum that a recording's passport describes, if it does."""
    try:
        return PendulumParams.from_dict(header.passport["parameters"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def ghost_of(trajectory: Trajectory) -> NDArray[np.float64] | None:
    """The ghost's θ beside the first episode, (ticks of it,), or None."""
    params, first = params_of(trajectory.header), trajectory.episode(0)
    needed = {"theta", "theta_dot", "applied"} <= set(trajectory.header.columns)
    if params is None or not needed or not 0 < len(first) <= GHOST_TICKS_MAX:
        return None
    if not np.isfinite(first.rows).all():
        return None
    try:
        return ghost(trajectory, params)
    except ValueError:
        return None


def _ghost(trajectory: Trajectory, every: int) -> Ghost | None:
    theta, params = ghost_of(trajectory), params_of(trajectory.header)
    if theta is None or params is None:
        return None
    gap = prediction_gap(trajectory, params)
    first = np.flatnonzero(trajectory["episode"] == 0)
    angle, error = (np.full(len(trajectory), np.nan) for _ in range(2))
    angle[first] = theta
    error[first[len(first) - len(gap.theta) :]] = gap.theta
    rms = gap.theta_rms
    return Ghost(
        every_s=RESEED,
        ahead_s=AHEAD,
        theta=_column(angle, every),
        error=_column(error, every),
        rms=round(rms, DIGITS) if math.isfinite(rms) else None,
    )


def _returns(trajectory: Trajectory) -> NDArray[np.float64]:
    """The sum of rewards since the episode began."""
    total = np.nancumsum(trajectory["reward"])
    begins = np.flatnonzero(np.diff(trajectory["episode"], prepend=trajectory["episode"][0]) != 0)
    before = np.zeros(len(total))
    for begin in begins.tolist():
        before[begin:] = total[begin - 1]
    sums: NDArray[np.float64] = total - before
    return sums


def _any_of(late: NDArray[np.float64], every: int) -> NDArray[np.float64]:
    """1 where any of the n ticks that a row stands for was late."""
    padded = np.pad(late, (0, -len(late) % every))
    found: NDArray[np.float64] = padded.reshape(-1, every).max(axis=1)
    return found


def _column(values: NDArray[np.float64], every: int) -> Column:
    kept = np.round(values[::every], DIGITS).tolist()
    return [value if math.isfinite(value) else None for value in kept]
