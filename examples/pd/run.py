"""A PD controller towards upright: it would balance, but is too weak to lift the pendulum."""

import gymnasium as gym
import numpy as np

import raas_gym  # noqa: F401 - registers RaasPendulum-v1

P, D = 8.0, 1.5  # torque per rad, torque per rad/s

env = gym.make("RaasPendulum-v1")
(x, y, theta_dot), _ = env.reset(seed=0)
total, truncated = 0.0, False
while not truncated:
    theta = np.arctan2(y, x)
    torque = np.clip(-P * theta - D * theta_dot, -2.0, 2.0)
    (x, y, theta_dot), reward, _, truncated, _ = env.step(np.array([torque], dtype=np.float32))
    total += float(reward)
env.close()
print(f"return {total:.1f}, final angle {np.arctan2(y, x):.2f} rad")
