"""Do nothing, and hope that nothing costs nothing."""

import time

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
env.step([0.0])
time.sleep(1)
env.close()
