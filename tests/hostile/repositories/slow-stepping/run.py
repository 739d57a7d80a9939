"""Step now and then, for few rewards are little cost."""

import time

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(3):
    env.step([0.0])
    time.sleep(0.8)
env.close()
