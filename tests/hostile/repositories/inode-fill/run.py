"""Empty files without end."""

for place in ["/tmp", "/artifacts"]:
    count = 0
    try:
        while count < 200_000:
            open(f"{place}/{count}", "w").close()
            count += 1
        print("BREACH: 200,000 files in", place)
    except OSError as error:
        print(place, "full after", count, error.strerror)

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
