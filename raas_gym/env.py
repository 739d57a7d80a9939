"""The pendulum as a Gymnasium environment, over any plant.

Observation (cos θ, sin θ, θ̇) as float32, θ = 0 upright, θ̇ in rad/s within ±20. Action: one torque
within ±2. Reward −(θ² + 0.1 θ̇² + 0.001 u²) with θ wrapped to [−π, π), of the state the action was
chosen in: the conventions of Gymnasium's `Pendulum-v1`. Nothing terminates; `RaasPendulum-v1`
truncates after 400 steps (20 s).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from numpy.typing import NDArray

from raas_gym.dynamics import MAX_SPEED, MAX_TORQUE, TURN, PendulumParams, wrapped
from raas_gym.plants import Plant, SimPlant
from raas_gym.render import Window, draw

PI = math.pi
FLOAT32 = np.dtype(np.float32)
cos, sin, empty = math.cos, math.sin, np.empty
# Packing into an empty array takes half the time of building one from numbers.
pack: Callable[..., None] = struct.Struct("=3f").pack_into
# Copying a dict and setting four values takes two thirds of the time of building it.
blank_info: Callable[[], dict[str, Any]] = {
    "t": 0.0, "applied": 0.0, "late": False, "missed_ticks": 0, "theta": 0.0, "theta_dot": 0.0,
}.copy  # fmt: skip

Observation = NDArray[np.float32]
Answer = tuple[Observation, float, bool, bool, dict[str, Any]]
HORIZON = 400
"""Steps of one episode and ticks of the scored horizon: 20 s at 20 Hz."""


class PendulumEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """One pendulum.

    params      "measured" (default), "ideal", "raw_motor" or a `PendulumParams`
    randomize   domain randomisation, see `raas_gym.dynamics.randomized`; True for the usual spread
    start       "hanging" (default) or "random"
    plant       drive this plant instead of a simulation made from the arguments above
    render_mode None, "rgb_array" or "human" (a window; needs pygame)

    `reset(options=…)` takes the options of `SimPlant.reset`. `info` carries `t` (s since reset),
    `applied` (torque after limits), `late`, `missed_ticks` and, in simulation, the true `theta`, `theta_dot`.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012 - Gymnasium's own declaration
    observation_columns = ("theta", "theta_dot")
    action_columns = ("action",)

    def __init__(
        self,
        params: PendulumParams | str = "measured",
        *,
        randomize: Mapping[str, float] | bool | None = None,
        start: str = "hanging",
        plant: Plant | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is {render_mode!r}; choose None, 'rgb_array' or 'human'")
        self.render_mode = render_mode
        self.plant: Plant = SimPlant(params, randomize, start) if plant is None else plant
        self._simulation = self.plant if isinstance(self.plant, SimPlant) else None
        self.dt = self.plant.params.dt
        self.max_torque, self.max_speed = MAX_TORQUE, MAX_SPEED
        high = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)
        self.observation_space = gymnasium.spaces.Box(-high, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)
        self._theta = self._theta_dot = math.nan
        self._applied = 0.0
        self._tick = 0
        self._ready = self._closed = False
        # The simulation, while `step` may take the short way: between reset and close, without a window.
        self._training: SimPlant | None = None
        self._window: Window | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `SimPlant.reset` for the options (a robot may refuse them: ValueError)."""
        if self._closed:
            raise self._not_ready()
        super().reset(seed=seed)
        self._theta, self._theta_dot = self.plant.reset(seed, {} if options is None else options)
        self._applied, self._tick, self._ready = 0.0, 0, True
        self._training = None if self.render_mode == "human" else self._simulation
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info()

    def step(self, action: NDArray[np.float32]) -> Answer:
        """One control period.

        A torque out of range is limited; NaN, infinity or a wrong shape raise InvalidAction.
        """
        simulation = self._training
        if simulation is None:
            self.begin_step(action)
            self.plant.advance()
            return self.end_step()
        # The same in one piece, as a call costs as much as the physics of half a period.
        try:
            (torque,) = action.tolist()
            if not -2.0 <= torque <= 2.0:
                torque = limited(torque_of(action))
        except (AttributeError, TypeError, ValueError):
            torque = limited(torque_of(action))
        before, before_dot = (self._theta + PI) % TURN - PI, self._theta_dot
        seen = simulation.run(torque)
        self._theta = theta = seen[0]
        self._theta_dot = theta_dot = seen[1]
        self._applied = torque
        self._tick = tick = self._tick + 1
        true = simulation.state
        observation = empty(3, FLOAT32)
        pack(observation, 0, cos(theta), sin(theta), theta_dot)
        info = blank_info()
        info["t"] = tick * self.dt
        info["applied"] = torque
        info["theta"] = true[0]
        info["theta_dot"] = true[1]
        reward = -(before * before + 0.1 * before_dot * before_dot + 0.001 * torque * torque)
        return observation, reward, False, False, info

    def begin_step(self, action: Any) -> float:
        """Apply an action now; `end_step` follows one control period later. Returns the torque after limits.

        A real-time host calls the two halves at their own times.
        """
        return self.apply(torque_of(action))

    def apply(self, torque: float) -> float:
        """`begin_step` for a torque that is known to be finite."""
        if not self._ready:
            raise self._not_ready()
        self._applied = self.plant.apply(torque)
        return self._applied

    def end_step(self) -> Answer:
        """Measure, and answer as `step` does."""
        reward = self.end_tick()
        if self.render_mode == "human":
            self.render()
        return self._observation(), reward, False, False, self._info()

    def end_tick(self) -> float:
        """Measure; the reward. `end_step` without its answer, for a host that makes its own."""
        before, before_dot, torque = (self._theta + PI) % TURN - PI, self._theta_dot, self._applied
        self._theta, self._theta_dot = self.plant.measure()
        self._tick += 1
        return -(before * before + 0.1 * before_dot * before_dot + 0.001 * torque * torque)

    @property
    def measurement(self) -> tuple[float, float]:
        """The last measurement: θ in rad, unwrapped; θ̇ in rad/s."""
        return self._theta, self._theta_dot

    def recorded_observation(self) -> tuple[float, float]:
        """The last measurement as a trajectory row has it: θ in [−π, π) rad, θ̇ in rad/s."""
        return wrapped(self._theta), self._theta_dot

    def render(self) -> NDArray[np.uint8] | None:
        """A frame (500, 500, 3) for "rgb_array"; None for "human", which each step shows by itself."""
        if self.render_mode is None:
            gymnasium.logger.warn('make the environment with render_mode="rgb_array" or "human" to render it')
            return None
        frame = draw(self._theta, self._applied)
        if self.render_mode == "rgb_array":
            return frame
        if self._window is None:
            self._window = Window(self.metadata["render_fps"])
        self._window.show(frame)
        return None

    def keys(self) -> frozenset[str]:
        """Keys that are down in the window of "human", see `Window.pressed`."""
        return frozenset() if self._window is None else self._window.pressed()

    def close(self) -> None:
        """Motor off. The environment cannot be used afterwards."""
        if self._closed:
            return
        self._ready, self._closed, self._training = False, True, None
        self.plant.close()
        if self._window is not None:
            self._window.close()

    def _observation(self) -> Observation:
        observation = empty(3, FLOAT32)
        pack(observation, 0, cos(self._theta), sin(self._theta), self._theta_dot)
        return observation

    def _info(self) -> dict[str, Any]:
        info = {"t": self._tick * self.dt, "applied": self._applied, "late": False, "missed_ticks": 0}
        if self._simulation is not None:
            info["theta"], info["theta_dot"], *_ = self._simulation.state
        return info

    def _not_ready(self) -> Exception:
        if self._closed:
            return ClosedEnvironmentError("this environment was closed; make a new one with gymnasium.make")
        return ResetNeeded("call reset() before step()")


def limited(torque: float) -> float:
    """The torque within ±2."""
    return min(MAX_TORQUE, max(-MAX_TORQUE, torque))


def torque_of(action: Any) -> float:
    """The torque in an action: a finite float, not yet limited.

    Raises InvalidAction unless `action` is one finite number in a sequence or array of one.
    """
    try:
        (torque,) = action.tolist() if isinstance(action, np.ndarray) else action
        torque = float(torque)
    except (TypeError, ValueError) as error:
        raise InvalidAction(
            f"the action must be one number in an array of shape (1,), not {action!r}"
        ) from error
    if not math.isfinite(torque):
        raise InvalidAction(f"the action is {torque}; give a finite torque between -2 and 2")
    return torque
