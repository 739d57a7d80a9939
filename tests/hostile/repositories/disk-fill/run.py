"""Fill every place that can be written."""

for place in ["/tmp/x", "/dev/shm/x", "/artifacts/x"]:
    written = 0
    try:
        with open(place, "wb", buffering=0) as file:
            while written < 1 << 30:
                written += file.write(bytes(1 << 20))
        print("BREACH: a gigabyte fits in", place)
    except OSError as error:
        print(place, "full:", error.strerror)
    open(place, "wb").close()
for place in ["/repo/x", "/var/tmp/x", "/x", "/usr/x", "/run/x"]:
    try:
        open(place, "wb")
        print("BREACH: wrote", place)
    except OSError:
        pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
