"""The pendulum as a Gymnasium environment, over any plant.

Observation (cos θ, sin θ, θ̇) as float32, θ = 0 upright, θ̇ in rad/s within ±20. Action: one torque
within ±2. Reward −(θ² + 0.1 θ̇² + 0.001 u²) with θ wrapped to [−π, π), of the state the action was
chosen in: the conventions of Gymnasium's `Pendulum-v1`. Nothing terminates; `RaasPendulum-v1`
truncates after 400 steps (20 s).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from numpy.typing import NDArray

from raas_gym.dynamics import MAX_SPEED, MAX_TORQUE, TURN, PendulumParams
from raas_gym.plants import Plant, SimPlant

Observation = NDArray[np.float32]
HORIZON = 400
"""Steps of one episode and ticks of the scored horizon: 20 s at 20 Hz."""


class PendulumEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """One pendulum.

    params      "measured" (default), "ideal", "raw_motor" or a `PendulumParams`
    randomize   domain randomisation, see `raas_gym.dynamics.randomized`; True for the usual spread
    start       "hanging" (default) or "random"
    plant       drive this plant instead of a simulation made from the arguments above
    render_mode None, "rgb_array" or "human"

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
        self.dt = self.plant.params.dt
        self.max_torque, self.max_speed = MAX_TORQUE, MAX_SPEED
        high = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)
        self.observation_space = gymnasium.spaces.Box(-high, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)
        self._theta = self._theta_dot = math.nan
        self._applied = 0.0
        self._tick = 0
        self._ready = self._closed = False

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `SimPlant.reset` for the options (hardware takes none)."""
        if self._closed:
            raise ClosedEnvironmentError("this environment was closed; make a new one with gymnasium.make")
        super().reset(seed=seed)
        # Without a seed the plant goes on with its own stream, as Gymnasium's convention is.
        self._theta, self._theta_dot = self.plant.reset(seed, {} if options is None else options)
        self._applied, self._tick, self._ready = 0.0, 0, True
        return self._observation(), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """One control period. Out-of-range torques are clipped; NaN, infinity or a wrong shape raise InvalidAction."""
        self.begin_step(action)
        self.plant.advance()
        return self.end_step()

    def begin_step(self, action: Any) -> float:
        """Apply an action now; `end_step` follows one control period later. Returns the torque after limits.

        A real-time host calls the two halves at their own times; `step` is both with a period between.
        """
        if not self._ready:
            raise self._not_ready()
        self._applied = self.plant.apply(torque_of(action))
        return self._applied

    def end_step(self) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Measure, and answer as `step` does."""
        theta, theta_dot, applied = (self._theta + math.pi) % TURN - math.pi, self._theta_dot, self._applied
        reward = -(theta * theta + 0.1 * theta_dot * theta_dot + 0.001 * applied * applied)
        self._theta, self._theta_dot = self.plant.measure()
        self._tick += 1
        if self.render_mode == "human":
            self.render()
        return self._observation(), reward, False, False, self._info()

    def recorded_observation(self) -> tuple[float, float]:
        """The last measurement as a trajectory row has it: θ in [−π, π) rad, θ̇ in rad/s."""
        return (self._theta + math.pi) % TURN - math.pi, self._theta_dot

    def render(self) -> Any:
        """A frame (500, 500, 3) of uint8 for "rgb_array"; a window for "human"."""
        raise NotImplementedError

    def close(self) -> None:
        """Motor off. The environment cannot be used afterwards."""
        if not self._closed:
            self._ready, self._closed = False, True
            self.plant.close()

    def _observation(self) -> Observation:
        theta = self._theta
        return np.array((math.cos(theta), math.sin(theta), self._theta_dot), dtype=np.float32)

    def _info(self) -> dict[str, Any]:
        info = {"t": self._tick * self.dt, "applied": self._applied, "late": False, "missed_ticks": 0}
        if isinstance(self.plant, SimPlant):
            info["theta"], info["theta_dot"] = self.plant.state
        return info

    def _not_ready(self) -> Exception:
        if self._closed:
            return ClosedEnvironmentError("this environment was closed; make a new one with gymnasium.make")
        return ResetNeeded("call reset() before step()")


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
