"""Actions at the ends of what numbers can be."""

import gymnasium as gym
import numpy as np
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
refused = 0
for action in ([1e308], [-1e308], [5e-324], [True], "1", [float("inf")], [float("-inf")], [float("nan")], ["x"], [],
               [1, 2], None, [1j], [10**400], {"a": 1}, np.ma.masked_array([1.0], [True])):
    try:
        info = env.step(action)[4]
        if abs(info["applied"]) > 2:
            print("BREACH:", action, info["applied"])
    except Exception:
        refused += 1
print("refused", refused)
env.close()
