"""Files named as the recorder's, and names nobody can store."""

import os

for name in ["trajectory.csv", "trajectory.npz", "log.txt", "summary.json", "session-0", "a\\b", "new\nline", "\x1b[2J",
             "-rf", "con", "x" * 255, "\u202egnp.exe", "..."]:
    with open(os.path.join("/artifacts", name), "w") as file:
        file.write("forged")
os.makedirs("/artifacts/artifacts/artifacts", exist_ok=True)
with open(b"/artifacts/\xff\xfe", "w") as file:
    file.write("not UTF-8")
place = "/artifacts"
for _ in range(300):
    place += "/d"
    os.mkdir(place)

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
