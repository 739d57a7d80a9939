"""Random torques: the least a repository needs, and the score to beat."""

import gymnasium as gym

import raas_gym  # noqa: F401 - registers RaasPendulum-v1

env = gym.make("RaasPendulum-v1")
env.action_space.seed(0)
observation, info = env.reset(seed=0)
total, truncated = 0.0, False
while not truncated:
    observation, reward, _, truncated, info = env.step(env.action_space.sample())
    total += float(reward)
env.close()
print(f"return {total:.1f}")
