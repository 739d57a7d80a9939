"""RemoteEnv: the robot (or any hosted environment), seen from inside the container.

`gymnasium.make("RaasPendulum-v1")` returns one by itself when `RAAS_STEP_SOCKET` names a session's
socket, so the same program runs in simulation at home and on the robot here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from numpy.typing import NDArray

from raas_gym.connection import Connection, SessionError
from raas_gym.env import PendulumEnv
from raas_gym.flat import decoder, flatten
from raas_gym.link import Kind, frame
from raas_gym.render import draw

__all__ = ["RemoteEnv", "RemotePendulumEnv", "SessionError"]


class RemoteEnv(gymnasium.Env[Any, Any]):
    """A hosted environment over the step socket (default: the one `RAAS_STEP_SOCKET` names).

    `step` returns when the robot's tick ends. `info` carries `t` (s since reset), `applied` (the action
    after limits: a float if it is a single number), `late` and `missed_ticks` (ticks since the previous
    step that no action reached; their rewards are in this step's).
    """

    metadata: dict[str, Any] = {"render_modes": [], "render_fps": 20}  # noqa: RUF012 - Gymnasium's own declaration
    hardware = True

    def __init__(self, socket_path: str | None = None, *, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._connection = Connection(socket_path)
        self.robot, self._codec = self._connection.robot, self._connection.codec
        self.dt = self.robot.dt
        self.action_space = self._connection.action_space
        self.observation_space = self._connection.observation_space
        self._observation = decoder(self.observation_space)
        self._action = decoder(self.action_space)
        self._action_size = self._codec.applied.stop - self._codec.applied.start
        self._ready = False
        self._latest: tuple[float, ...] = ()

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Bring the robot to its start; hardware takes as long as the pendulum needs to come to rest."""
        super().reset(seed=seed)
        try:
            request = json.dumps({"seed": seed, "options": self._options(options or {})}).encode()
        except TypeError as error:
            raise ValueError(f"reset options must be plain numbers, strings and lists ({error})") from error
        self._ready = False
        self._latest = state = self._connection.ask(frame(Kind.RESET, request))
        self._ready = True
        return self._observation(state[self._codec.observation]), self._info(state)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Propose an action; returns when the tick ends. The robot limits a Box action out of range."""
        if not self._ready:
            self._connection.open_socket()
            raise ResetNeeded("call reset() before step()")
        message = self._codec.step_frame(self._checked(action))
        self._latest = state = self._connection.ask(message)
        terminated, truncated = state[4] != 0.0, state[5] != 0.0
        if terminated or truncated:
            self._ready = False
        observation = self._observation(state[self._codec.observation])
        return observation, state[1], terminated, truncated, self._info(state)

    def observe(self) -> Any:
        """The latest observation, without waiting for a tick."""
        state = self._connection.ask(frame(Kind.OBSERVE))
        return self._observation(state[self._codec.observation])

    def close(self) -> None:
        """Leave the session; the motor goes off."""
        self._ready = False
        self._connection.close()

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(options)

    def _checked(self, action: Any) -> Sequence[float]:
        try:
            values = action.ravel().tolist() if isinstance(action, np.ndarray) else flatten(action)
            finite = math.isfinite(sum(values))
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"the action must be numbers, not {action!r}") from error
        if len(values) != self._action_size:
            raise InvalidAction(f"the action must have {self._action_size} numbers, not {len(values)}")
        if not finite:
            raise InvalidAction(f"the action is {action!r}; give finite numbers")
        space = self.action_space
        if isinstance(space, spaces.Discrete) and not space.contains(np.int64(values[0])):
            raise InvalidAction(f"the action is {action!r}; choose from {space}")
        return values

    def _info(self, state: tuple[float, ...]) -> dict[str, Any]:
        applied = state[6] if self._action_size == 1 else self._action(state[self._codec.applied])
        return {"t": state[0], "applied": applied, "late": state[3] != 0.0, "missed_ticks": int(state[2])}


class RemotePendulumEnv(RemoteEnv):
    """The robot behind `RaasPendulum-v1`: takes what a simulation takes, so that a program needs no change.

    `randomize` and `params` among the reset options describe a simulation and are left out. "rgb_array"
    renders a drawing of what was measured; "human" shows nothing, for a job has no screen.
    """

    metadata: dict[str, Any] = PendulumEnv.metadata

    def render(self) -> NDArray[np.uint8] | None:
        """A frame (500, 500, 3) for "rgb_array", else None."""
        if self.render_mode != "rgb_array" or not self._latest:
            return None
        cosine, sine, _ = self._latest[self._codec.observation]
        return draw(math.atan2(sine, cosine), self._latest[6])

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name not in ("randomize", "params")}
