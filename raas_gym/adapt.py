"""One face for every environment that `EnvHost` serves: flat tuples of floats in and out.

A staged environment (one with `begin_step`, `end_step` and a `plant`) receives an action when it
arrives and is measured when the tick ends. Any other is stepped as a whole at the end of the tick.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import gymnasium

from raas_gym.dynamics import wrapped
from raas_gym.env import HORIZON, PendulumEnv
from raas_gym.flat import Floats, flatten, limited, neutral, space_size

Finished: TypeAlias = tuple[Floats, float, bool, bool]
"""(observation, reward, terminated, truncated)"""


@dataclass(frozen=True)
class Layout:
    """Sizes, names and times of a hosted environment; `neutral` is the action that does nothing."""

    dt: float
    horizon: int
    action_size: int
    observation_size: int
    action_columns: tuple[str, ...]
    observation_columns: tuple[str, ...]
    neutral: Floats
    simulated: bool = True
    passport: Mapping[str, Any] = field(default_factory=dict)


class Adapter(Protocol):
    """What the host needs of an environment."""

    @property
    def layout(self) -> Layout:
        """What stays the same for the whole session."""

    def reset(self, seed: int | None, options: dict[str, Any]) -> Floats:
        """Reset; the flat observation."""

    def begin(self, action: Floats) -> Floats:
        """Apply an action now, or note it for the end of the tick; returns it after limits."""

    def finish(self) -> Finished:
        """End the tick."""

    def recorded(self) -> Floats:
        """The last observation as a trajectory row has it."""

    def stop(self) -> None:
        """Motor off; safe from any thread."""


def adapt(env: gymnasium.Env[Any, Any]) -> Adapter:
    """The adapter for an environment; raises ValueError for spaces that cannot be hosted."""
    return StagedAdapter(env) if isinstance(env, PendulumEnv) else WholeAdapter(env)


class StagedAdapter:
    """A pendulum over its plant."""

    def __init__(self, env: PendulumEnv) -> None:
        self._env = env
        self._recorded: Floats = ()
        self.layout = Layout(
            dt=env.dt,
            horizon=HORIZON,
            action_size=1,
            observation_size=3,
            action_columns=env.action_columns,
            observation_columns=env.observation_columns,
            neutral=(0.0,),
            simulated=env.plant.simulated,
            passport=env.plant.passport,
        )

    def reset(self, seed: int | None, options: dict[str, Any]) -> Floats:
        """Bring the plant to the start."""
        observation, _ = self._env.reset(seed=seed, options=options)
        self._recorded = self._env.recorded_observation()
        return tuple(observation.tolist())

    def begin(self, action: Floats) -> Floats:
        """Torque, now."""
        return (self._env.apply(action[0]),)

    def finish(self) -> Finished:
        """Let the period pass and measure."""
        self._env.plant.advance()
        reward = self._env.end_tick()
        theta, theta_dot = self._env.measurement
        self._recorded = (wrapped(theta), theta_dot)
        return (math.cos(theta), math.sin(theta), theta_dot), reward, False, False

    def recorded(self) -> Floats:
        """θ and θ̇ as measured."""
        return self._recorded

    def stop(self) -> None:
        """Motor off."""
        self._env.plant.stop()


class WholeAdapter:
    """Any environment, stepped as a whole: every `dt` if it has one, else at its render_fps or 20 Hz."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._env, self._space = env, env.action_space
        limit = env.spec.max_episode_steps if env.spec else None
        action_size, observation_size = space_size(env.action_space), space_size(env.observation_space)
        self.layout = Layout(
            dt=float(getattr(env.unwrapped, "dt", 0) or 1.0 / env.metadata.get("render_fps", 20)),
            horizon=limit or HORIZON,
            action_size=action_size,
            observation_size=observation_size,
            action_columns=_names("action", action_size),
            observation_columns=_names("observation", observation_size),
            neutral=neutral(env.action_space),
        )
        self._next: Any = None
        self._recorded: Floats = ()

    def reset(self, seed: int | None, options: dict[str, Any]) -> Floats:
        """Reset the environment."""
        observation, _ = self._env.reset(seed=seed, options=options or None)
        self._recorded = flatten(observation)
        return self._recorded

    def begin(self, action: Floats) -> Floats:
        """Note the action, limited to the space."""
        self._next = limited(self._space, action)
        return flatten(self._next)

    def finish(self) -> Finished:
        """Step with the action noted last."""
        observation, reward, terminated, truncated, _ = self._env.step(self._next)
        self._recorded = flatten(observation)
        return self._recorded, float(reward), bool(terminated), bool(truncated)

    def recorded(self) -> Floats:
        """The observation, flat."""
        return self._recorded

    def stop(self) -> None:
        """Such an environment is taken to move nothing between steps."""


def _names(stem: str, size: int) -> tuple[str, ...]:
    return (stem,) if size == 1 else tuple(f"{stem}_{index}" for index in range(size))
