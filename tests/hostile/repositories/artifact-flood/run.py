"""More files than anybody wants."""

for number in range(1000):
    with open(f"/artifacts/{number:04}.txt", "w") as file:
        file.write("x")

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
