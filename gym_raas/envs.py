"""`from gym_raas.envs import PendulumEnv`, as in 2020."""

from raas_gym.classic_env import ClassicPendulumEnv as PendulumEnv

__all__ = ["PendulumEnv"]
