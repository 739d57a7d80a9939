"""What an honest researcher pushes next."""

import gymnasium as gym

import raas_gym  # registers the environment

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
print("driven with", raas_gym.__name__)
env.close()
