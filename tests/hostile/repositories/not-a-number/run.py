"""A torque that is no number."""

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
env.step([0.0])
env.step([float("nan")])
env.step([float("inf")])
