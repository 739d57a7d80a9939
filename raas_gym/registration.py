"""Registers RaaS's environments with Gymnasium when `raas_gym` is imported (Gymnasium 1 loads no plugins)."""

from __future__ import annotations

import os
from typing import Any

import gymnasium

from raas_gym.env import HORIZON, Observation, PendulumEnv
from raas_gym.link import SOCKET_VARIABLE

ENV_ID = "RaasPendulum-v1"


def register_envs() -> None:
    """Make `gymnasium.make("RaasPendulum-v1")` work; calling it again changes nothing.

    Gymnasium's passive checker and order wrapper stay off: the environment itself refuses a wrong
    action and a step before reset, and they would cost more than the physics.
    """
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(
            id=ENV_ID,
            entry_point="raas_gym.registration:make_pendulum",
            vector_entry_point="raas_gym.vector:PendulumVectorEnv",
            max_episode_steps=HORIZON,
            order_enforce=False,
            disable_env_checker=True,
        )


def make_pendulum(**kwargs: Any) -> gymnasium.Env[Observation, Any]:
    """The pendulum: the robot's where `RAAS_STEP_SOCKET` names a session, else a simulation.

    On the robot the arguments that shape a simulation (`params`, `randomize`, `start`) mean nothing and
    are ignored, so that a program needs no change.
    """
    if os.environ.get(SOCKET_VARIABLE):
        from raas_gym.remote import RemotePendulumEnv  # noqa: PLC0415 - a simulation needs no socket code

        return RemotePendulumEnv(render_mode=kwargs.get("render_mode"))
    return PendulumEnv(**kwargs)


make_pendulum.metadata = PendulumEnv.metadata  # type: ignore[attr-defined]  # gymnasium.make reads it
