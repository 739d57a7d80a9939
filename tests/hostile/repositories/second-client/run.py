"""Drive from two processes at once."""

import gymnasium as gym
import raas_gym

first = gym.make("RaasPendulum-v1")
first.reset()
first.step([0.0])
try:
    second = gym.make("RaasPendulum-v1")
    second.reset()
    print("BREACH: two drive")
except Exception as error:
    print("refused:", error)
for _ in range(10):
    first.step([0.5])
first.close()
