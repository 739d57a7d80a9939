"""One file of a terabyte, and one that is only holes."""

for path in ["/artifacts/sparse", "/artifacts/giant"]:
    try:
        with open(path, "wb") as file:
            if path.endswith("sparse"):
                file.truncate(1 << 40)
            else:
                while file.tell() < 1 << 32:
                    file.write(bytes(1 << 20))
        print("BREACH:", path)
    except OSError as error:
        print(path, error.strerror)
with open("/artifacts/holes", "wb") as file:
    file.truncate(30 << 20)

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
