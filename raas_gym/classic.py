"""Registers the pendulum with classic OpenAI Gym 0.26: `RaasPendulum-v1`, and the environment of 2020 as v0.

Gym loads this module by itself (entry point `gym.envs`), so nothing here imports gym before gym runs.
The environment classes are in `raas_gym.classic_env`, which gym imports when it makes one.

The checkers of gym 0.26 fail with NumPy 2 and stay off. No wrapper at all stands before v0: programs of
2020 step before they reset, call `env._get_obs()` and unpack four values.
"""

from __future__ import annotations

import warnings

from raas_gym.env import HORIZON

CLASSIC_IDS = ("RaasPendulum-v0", "raaspendulum-v0")


def register_envs() -> None:
    """Make `gym.make("RaasPendulum-v0")` and v1 work; calling it again changes nothing.

    Raises ImportError with the remedy where classic gym is not installed.
    """
    try:
        from gym.envs import registration  # noqa: PLC0415 - gym is optional
    except ImportError as error:
        raise ImportError('classic gym is not installed; run `pip install "raas-gym[classic]"`') from error
    known = registration.registry
    if "RaasPendulum-v1" in known:
        return
    for env_id in CLASSIC_IDS:
        entry = "raas_gym.classic_env:ClassicPendulumEnv"
        registration.register(env_id, entry, order_enforce=False, disable_env_checker=True)
    entry = "raas_gym.classic_env:GymPendulumEnv"
    registration.register(
        "RaasPendulum-v1", entry, max_episode_steps=HORIZON, order_enforce=False, disable_env_checker=True
    )
    # Gym would advise every program of 2020 to use v1, whose API is not theirs.
    warnings.filterwarnings("ignore", message=".*RaasPendulum-v0 is out of date", category=UserWarning)
