"""Where the environment of 2020 could also be imported from."""

from raas_gym.classic_env import ClassicPendulumEnv as PendulumEnv

__all__ = ["PendulumEnv"]
