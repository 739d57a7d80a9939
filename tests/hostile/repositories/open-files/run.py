"""Open files without end."""

kept = []
try:
    while len(kept) < 100_000:
        kept.append(open("/dev/null"))
    print("BREACH: 100,000 open files")
except OSError as error:
    print("stopped after", len(kept), error.strerror)
kept.clear()

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
