"""Registers the pendulum with classic OpenAI Gym 0.26, in the API of 2020.

Gym loads this module by itself (entry point `gym.envs`), so nothing here imports gym before gym runs.
The environment class is in `raas_gym.classic_env`, which gym imports when it makes one.

No wrapper stands between: programs of 2020 step before they reset, call `env._get_obs()` and unpack four
values. The checkers stay off as well, because those of gym 0.26 fail with NumPy 2.
"""

from __future__ import annotations

CLASSIC_IDS = ("RaasPendulum-v0", "raaspendulum-v0")


def register_envs() -> None:
    """Make `gym.make("RaasPendulum-v0")` work; calling it again changes nothing.

    Raises ImportError with the remedy where classic gym is not installed.
    """
    try:
        from gym.envs import registration  # noqa: PLC0415 - gym is optional
    except ImportError as error:
        raise ImportError('classic gym is not installed; run `pip install "raas[classic]"`') from error
    for env_id in CLASSIC_IDS:
        if env_id not in registration.registry:
            registration.register(
                id=env_id,
                entry_point="raas_gym.classic_env:ClassicPendulumEnv",
                order_enforce=False,
                disable_env_checker=True,
            )
