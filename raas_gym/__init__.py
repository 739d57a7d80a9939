"""Reality as a Service: Gym environments that run in simulation here and on a real robot there.

import gymnasium, raas_gym
env = gymnasium.make("RaasPendulum-v1")
"""

from raas_gym.dynamics import IDEAL, MEASURED, RAW_MOTOR, PendulumParams
from raas_gym.env import PendulumEnv
from raas_gym.registration import register_envs
from raas_gym.version import __version__

__all__ = ["IDEAL", "MEASURED", "RAW_MOTOR", "PendulumEnv", "PendulumParams", "__version__"]

register_envs()
