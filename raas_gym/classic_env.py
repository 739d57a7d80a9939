"""The pendulum for classic gym 0.26: in its own API, and in that of 2020.

`GymPendulumEnv` is `RaasPendulum-v1`: what `raas_gym.env` and `raas_gym.remote` do, behind gym's types.

`ClassicPendulumEnv` is `RaasPendulum-v0`, with the attributes its users relied on. Locally it simulates
the `ideal` pendulum from a random start. In a job it drives the robot: there the constructor's reset
begins the one episode of the run, and every later `reset()` only commands zero torque and reads the
sensors, as it did in 2020. The whole run is what counts.
"""

from __future__ import annotations

import os
from typing import Any

import gym
import numpy as np
from gym import spaces
from numpy.typing import NDArray

from raas_gym.dynamics import IDEAL, MAX_SPEED, MAX_TORQUE, cost
from raas_gym.env import PendulumEnv, limited, torque_of
from raas_gym.link import SOCKET_VARIABLE
from raas_gym.plants import SimPlant
from raas_gym.registration import make_pendulum
from raas_gym.remote import RemoteEnv
from raas_gym.render import draw


def _spaces() -> tuple[spaces.Box, spaces.Box]:
    """Gym's own observation and action space."""
    high = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)
    return (
        spaces.Box(low=-high, high=high, dtype=np.float32),
        spaces.Box(low=-MAX_TORQUE, high=MAX_TORQUE, shape=(1,), dtype=np.float32),
    )


class GymPendulumEnv(gym.Env[Any, Any]):
    """`RaasPendulum-v1` for gym 0.26: arguments and behaviour of `PendulumEnv`, or the robot in a job."""

    metadata = PendulumEnv.metadata

    def __init__(self, **kwargs: Any) -> None:
        self._env = make_pendulum(**kwargs)
        self.render_mode = kwargs.get("render_mode")
        self.observation_space, self.action_space = _spaces()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; (observation, info)."""
        super().reset(seed=seed)
        return self._env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One tick; (observation, reward, terminated, truncated, info)."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        return observation, float(reward), terminated, truncated, info

    def render(self) -> Any:
        """A frame for "rgb_array"."""
        return self._env.render()

    def close(self) -> None:
        """Motor off, session over."""
        self._env.close()


class ClassicPendulumEnv(gym.Env[Any, Any]):
    """reset() -> observation; step(u) -> (observation, reward, done, info); done is never true.

    observation: float64 (cos θ, sin θ, θ̇). Attributes: `hardware` (True on a robot), `state` (θ, θ̇), `dt`,
    `max_torque`, `max_speed`, `g`, `last_u`, `viewer` and the lists `ts`, `obs`, `actions`, `costs`.
    The arguments exist for compatibility: the physics is fixed, and a robot is used where there is one.
    """

    metadata = {  # noqa: RUF012 - gym's own declaration
        "render.modes": ["human", "rgb_array"],
        "render_modes": ["human", "rgb_array"],
        "video.frames_per_second": 20,
        "render_fps": 20,
    }

    def __init__(self, g: float = 9.8, hardware: bool = False, render_mode: str | None = None) -> None:
        self.g, self.render_mode = g, render_mode
        self.hardware = bool(os.environ.get(SOCKET_VARIABLE))
        self.dt, self.max_torque, self.max_speed = IDEAL.dt, MAX_TORQUE, MAX_SPEED
        self.observation_space, self.action_space = _spaces()
        self.viewer: Any = None
        self.last_u: float | None = None
        self.ts: list[float] = []
        self.obs: list[list[float]] = []
        self.actions: list[float] = []
        self.costs: list[float] = []
        self._remote: RemoteEnv | None = RemoteEnv() if self.hardware else None
        self._plant = SimPlant(IDEAL, start="random")
        self._ticks = 0
        if self._remote is not None:
            self._see(self._remote.reset()[0])
        else:
            self.reset()

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed the random starts of a simulation."""
        self._plant.reset(seed)
        return [seed]

    def reset(self, **kwargs: Any) -> NDArray[np.float64]:  # type: ignore[override]  # the API of 2020
        """Simulation: a random start. Robot: zero torque, and what the sensors say a tick later.

        Accepts gym 0.26's `seed`.
        """
        self.last_u = None
        if self._remote is not None:
            self._see(self._remote.step([0.0])[0])
        else:
            self._plant.reset(kwargs.get("seed"))
            self.state = np.array(self._plant.state[:2])
        return self._get_obs()

    def step(self, u: Any) -> tuple[NDArray[np.float64], float, bool, dict[str, Any]]:  # type: ignore[override]
        """One tick with a torque in a sequence of one, clipped to ±2."""
        torque = limited(torque_of(u))
        self.last_u = torque
        if self._remote is not None:
            observation, reward, _, _, info = self._remote.step([torque])
            self._see(observation)
        else:
            theta, theta_dot = self.state.tolist()
            reward, info = -cost(theta, theta_dot, torque), {}
            self._plant.apply(torque)
            self._plant.advance()
            self.state = np.array(self._plant.state[:2])
        self._ticks += 1
        seen = self._get_obs()
        self.ts.append(self._ticks * self.dt)
        self.obs.append(seen.tolist())
        self.actions.append(torque)
        self.costs.append(-reward)
        return seen, reward, False, info

    def render(self, mode: str | None = None) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """A frame (500, 500, 3) for "rgb_array"; nothing otherwise, so that no display is needed."""
        if (mode or self.render_mode) != "rgb_array":
            return None
        return draw(float(self.state[0]), self.last_u or 0.0)

    def close(self) -> None:
        """Motor off, session over."""
        if self._remote is not None:
            self._remote.close()

    def _get_obs(self) -> NDArray[np.float64]:
        if self._remote is not None:
            self._see(self._remote.observe())
        theta, theta_dot = self.state
        return np.array([np.cos(theta), np.sin(theta), theta_dot])

    def _see(self, observation: Any) -> None:
        x, y, theta_dot = (float(value) for value in observation)
        self.state = np.array([np.arctan2(y, x), theta_dot])
