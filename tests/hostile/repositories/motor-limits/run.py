"""Torques no motor has."""

import gymnasium as gym
import numpy as np
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for torque in [1e9, -1e300, 2.0001, -5.0]:
    _, _, _, _, info = env.step(np.array([torque]))
    if abs(float(np.ravel(info["applied"])[0])) > 2.0:
        print("BREACH: applied", info["applied"])
env.close()
