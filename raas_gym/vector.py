"""`PendulumVectorEnv`: thousands of simulated pendulums in one process, through Gymnasium's VectorEnv API.

Each pendulum behaves as a `PendulumEnv` of its own with the same seed. In float64 (the default)
observations and states are the same bits wherever NumPy's `sin` and `cos` agree with the C library's,
and rewards agree within 1e-12. float32 is two to three times as fast; one step is then off by less than
1e-5 (rad, rad/s), which an unstable pendulum and a rounding encoder turn into another trajectory of the
same kind.

    env = gymnasium.make_vec("RaasPendulum-v1", num_envs=1024, dtype="float32", randomize=True)

It is always a simulation, inside a job's container too: a robot is one, and `gymnasium.make` returns it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import DTypeLike, NDArray

from raas_gym.batch import Array, BatchDynamics
from raas_gym.dynamics import MAX_SPEED, MAX_TORQUE, PendulumParams
from raas_gym.env import HORIZON
from raas_gym.plants import START_OPTIONS, checked_start, resolve_params, spread_of
from raas_gym.starts import draw_starts, rows_of
from raas_gym.streams import UniformStreams, seeds_of

Observations = NDArray[np.float32]
Flags = NDArray[np.bool_]
Index = NDArray[np.intp]
Info = dict[str, Any]


class PendulumVectorEnv(VectorEnv[Observations, NDArray[Any], NDArray[Any]]):
    """`num_envs` simulated pendulums. Observations (num_envs, 3) float32, actions (num_envs, 1).

    params, randomize, start   as `PendulumEnv`; each pendulum draws its own
    max_episode_steps          steps until truncation; 400 are 20 s
    autoreset_mode             an `AutoresetMode` or its value: "NextStep" (default), "SameStep", "Disabled"
    dtype                      of the physics, the rewards and the states in `info`: float64 or float32

    `info` has the keys of `PendulumEnv`, each an array (num_envs,), and `_key` saying for which it holds;
    these arrays are not to be written to.
    """

    def __init__(
        self,
        num_envs: int = 1,
        params: PendulumParams | str = "measured",
        *,
        randomize: Mapping[str, float] | bool | None = None,
        start: str = "hanging",
        max_episode_steps: int = HORIZON,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        dtype: DTypeLike = np.float64,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1 or max_episode_steps < 1:
            raise ValueError("num_envs and max_episode_steps must be at least 1")
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype is {np.dtype(dtype)}; choose float32 or float64")
        if render_mode is not None:
            raise ValueError(
                "many pendulums are not rendered; watch one with gymnasium.make(..., render_mode=...)"
            )
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.dtype = np.dtype(dtype)
        self._nominal = resolve_params(params)
        self._spread = spread_of(randomize)
        self._start = checked_start(start)
        self._define_spaces()
        self._dynamics = BatchDynamics(self._nominal, num_envs, dtype)
        self._streams = UniformStreams(num_envs)
        self._all_nominal = True
        self._ready = False
        self._zero_state()

    def _define_spaces(self) -> None:
        high = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)
        self.single_observation_space = gymnasium.spaces.Box(-high, high, dtype=np.float32)
        self.single_action_space = gymnasium.spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def _zero_state(self) -> None:
        size, dtype = self.num_envs, self.dtype
        self._theta, self._theta_dot, self._opened = (np.zeros(size, dtype) for _ in range(3))
        self._drive, self._state_cost = np.zeros(size, dtype), np.zeros(size, dtype)
        self._history = np.zeros((1, size), dtype)
        self._delayed_by = np.zeros(size, np.intp)
        # Whole numbers in float64: exact, and a tick's time is one multiplication away.
        self._elapsed, self._one, self._dt = np.zeros(size), np.array(1.0), np.array(self._nominal.dt)
        self._truncated, self._finite = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        self._any_truncated, self._steps_to_end = False, 0
        self._low, self._high = np.array(-MAX_TORQUE, dtype), np.array(MAX_TORQUE, dtype)
        self._speed_weight, self._torque_weight = np.array(0.1, dtype), np.array(-0.001, dtype)
        # Handed out with every `info`, so nobody may write to them.
        self._everyone, self._never, self._none_missed = (
            np.ones(size, bool),
            np.zeros(size, bool),
            np.zeros(size, int),
        )
        for constant in (self._everyone, self._never, self._none_missed):
            constant.flags.writeable = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observations, Info]:
        """Start an episode in every pendulum, or in those of `options["reset_mask"]` (bool (num_envs,)).

        An integer seed gives pendulum i `seed + i`; a sequence names them all; None goes on with each one's
        stream. The other options are those of `SimPlant.reset`; their numbers may be arrays (num_envs,).
        """
        self._refuse_closed()
        remaining = {} if options is None else dict(options)
        rows = rows_of(remaining.pop("reset_mask", None), self.num_envs)
        if not self._ready and rows.size < self.num_envs:
            raise ResetNeeded("the first reset must be one of all pendulums; leave reset_mask out")
        if isinstance(seed, int):
            super().reset(seed=seed)
        seeds = seeds_of(seed, self.num_envs)
        for row in rows.tolist():
            own = seeds[row]
            if own is not None:
                self._streams.seed(row, own)
        self._begin(rows, remaining)
        self._ready = True
        which = np.zeros(self.num_envs, np.bool_)
        which[rows] = True
        return self._observations(), self._info(np.zeros(self.num_envs, self.dtype), which)

    def step(self, actions: NDArray[Any]) -> tuple[Observations, NDArray[Any], Flags, Flags, Info]:
        """One control period for all. Torques beyond ±2 are clipped.

        Raises InvalidAction for NaN, infinity or a wrong shape, and ResetNeeded before the first reset or,
        with autoreset disabled, while an ended pendulum waits for its reset.
        """
        self._refuse_closed()
        waiting = self._waiting()
        applied = self._torques(actions, waiting)
        rewards = np.multiply(applied, applied)
        np.multiply(rewards, self._torque_weight, out=rewards)
        np.subtract(rewards, self._state_cost, out=rewards)
        self._advance(applied)
        if waiting is not None:
            rewards[waiting] = applied[waiting] = 0.0
            self._begin(waiting, {})
        observations = self._observations()
        truncated = self._find_truncated()
        info = self._info(applied, self._everyone)
        if self._any_truncated and self.autoreset_mode is AutoresetMode.SAME_STEP:
            observations, info = self._renew(np.flatnonzero(truncated), observations, info)
        return observations, rewards, np.zeros(self.num_envs, np.bool_), truncated, info

    def _refuse_closed(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError(
                "this environment was closed; make a new one with gymnasium.make_vec"
            )

    def _waiting(self) -> Index | None:
        """Which pendulums this step resets instead of moving them, or None."""
        if not self._ready:
            raise ResetNeeded("call reset() before step()")
        if not self._any_truncated:
            return None
        rows = np.flatnonzero(self._truncated)
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"{rows.size} pendulums have ended; reset them with options={{'reset_mask': …}}"
            )
        return rows

    def _torques(self, actions: Any, waiting: Index | None) -> Array:
        """The actions within ±2, in a new array (num_envs,)."""
        array = np.asarray(actions)
        if array.shape != (self.num_envs, 1) or array.dtype.kind not in "fiu":
            raise InvalidAction(
                f"actions must be numbers of shape ({self.num_envs}, 1), not {array.dtype}{array.shape}"
            )
        wanted = array.reshape(self.num_envs)
        if waiting is not None:
            wanted = wanted.copy()
            wanted[waiting] = 0
        finite = np.isfinite(wanted, self._finite)
        if np.count_nonzero(finite) != self.num_envs:
            worst = int(np.argmin(finite))
            raise InvalidAction(f"action {worst} is {wanted[worst]}; give a finite torque between -2 and 2")
        if wanted.dtype != self.dtype:
            wanted = np.clip(wanted, -MAX_TORQUE, MAX_TORQUE).astype(self.dtype)
        torques: Array = np.minimum(wanted, self._high)
        np.maximum(torques, self._low, out=torques)
        return torques

    def _advance(self, applied: Array) -> None:
        drive = self._dynamics.drive(applied)
        if len(self._history) > 1:
            self._history[1:] = self._history[:-1]
            self._history[0] = drive
            drive = self._history[self._delayed_by, np.arange(self.num_envs)]
        self._theta, self._theta_dot, self._opened = self._dynamics.step(
            self._theta, self._theta_dot, self._drive, drive
        )
        self._drive = drive
        self._elapsed = np.add(self._elapsed, self._one)
        self._steps_to_end -= 1

    def _observations(self) -> Observations:
        """Measure; also remember what this state will cost at the next step."""
        theta, theta_dot = self._dynamics.measure(self._theta, self._theta_dot, self._opened)
        cost = np.multiply(theta_dot, self._speed_weight)
        np.multiply(cost, theta_dot, out=cost)
        self._state_cost = np.add(self._dynamics.squared_angle(theta), cost, out=cost)
        observations = np.empty((self.num_envs, 3), np.float32)
        np.cos(theta, out=observations[:, 0], casting="same_kind")
        observations[:, 1] = self._dynamics.sine(theta)
        observations[:, 2] = theta_dot
        return observations

    def _find_truncated(self) -> Flags:
        if self._steps_to_end > 0:
            return np.zeros(self.num_envs, np.bool_)
        self._truncated = self._elapsed >= self.max_episode_steps
        self._any_truncated = True
        return self._truncated.copy()

    def _info(self, applied: Array, which: Flags) -> Info:
        # These two are the state itself.
        self._theta.flags.writeable = self._theta_dot.flags.writeable = False
        return {
            "t": np.multiply(self._elapsed, self._dt),
            "_t": which,
            "applied": applied,
            "_applied": which,
            "late": self._never,
            "_late": which,
            "missed_ticks": self._none_missed,
            "_missed_ticks": which,
            "theta": self._theta,
            "_theta": which,
            "theta_dot": self._theta_dot,
            "_theta_dot": which,
        }

    def _renew(self, rows: Index, observations: Observations, info: Info) -> tuple[Observations, Info]:
        """Autoreset within the step: the ended episodes' last words go to `final_obs` and `final_info`."""
        ended = self._truncated.copy()
        final = np.full(self.num_envs, None, dtype=object)
        for row in rows.tolist():
            final[row] = observations[row]
        final_info = {key: ended if key.startswith("_") else value for key, value in info.items()}
        applied = info["applied"].copy()
        applied[rows] = 0.0
        self._begin(rows, {})
        observations = self._observations()
        info = self._info(applied, self._everyone)
        return observations, {
            **info,
            "final_obs": final,
            "_final_obs": ended,
            "final_info": final_info,
            "_final_info": ended,
        }

    def _begin(self, rows: Index, options: Mapping[str, Any]) -> None:
        """Start an episode in some pendulums, drawing from their streams what `SimPlant.reset` would."""
        unknown = sorted(set(options) - START_OPTIONS)
        if unknown:
            known = ", ".join(sorted({*START_OPTIONS, "reset_mask"}))
            raise ValueError(f"unknown reset option {unknown[0]!r}; known are {known}")
        nominal = resolve_params(options["params"]) if "params" in options else self._nominal
        spread = spread_of(options["randomize"]) if "randomize" in options else self._spread
        plain = nominal is self._nominal and not spread
        if not (plain and self._all_nominal):
            self._all_nominal = False
            if spread:
                self._dynamics.randomize(rows, nominal, spread, self._streams.draw(rows, len(spread)))
            else:
                self._dynamics.assign(rows, nominal)
            self._all_nominal = plain and rows.size == self.num_envs
        own = self._dynamics.own
        rest = (own["coulomb"] / own["gravity"])[rows]
        start = options.get("start", self._start)
        self._place(
            rows, *draw_starts(self._streams, rows, self.num_envs, start=start, rest=rest, options=options)
        )

    def _place(self, rows: Index, theta: NDArray[np.float64], theta_dot: NDArray[np.float64]) -> None:
        # The present arrays are in the hands of whoever keeps an `info`.
        self._theta, self._theta_dot, self._opened = (
            self._theta.copy(),
            self._theta_dot.copy(),
            self._opened.copy(),
        )
        self._drive, self._elapsed = self._drive.copy(), self._elapsed.copy()
        self._theta[rows], self._theta_dot[rows] = theta, theta_dot
        self._opened[rows] = theta - theta_dot * self._nominal.velocity_window
        self._drive[rows] = 0.0
        self._delayed_by[rows] = self._dynamics.own["delay"][rows] // self._nominal.dt
        missing = int(self._delayed_by.max()) + 1 - len(self._history)
        if missing > 0:
            self._history = np.concatenate([self._history, np.zeros((missing, self.num_envs), self.dtype)])
        self._history[:, rows] = 0.0
        self._elapsed[rows] = 0.0
        self._steps_to_end = self.max_episode_steps - int(self._elapsed.max())
        self._truncated[rows] = False
        self._any_truncated = bool(self._truncated.any())
