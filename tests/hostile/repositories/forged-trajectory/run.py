"""Write the recording oneself."""

import glob
import os

for folder in ["/run/raas", "/artifacts", "/repo", "/var/lib/raas-controller", "/var/lib/raas-runner"]:
    for name in ["trajectory.traj", "trajectory.csv", "summary.json", "ledger.jsonl"]:
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write("tick,t,reward\n0,0,0\n")
            if folder != "/artifacts":
                print("BREACH: wrote", folder, name)
        except OSError:
            pass
print("sees", glob.glob("/run/raas/*"))
import raas_gym.remote

raas_gym.remote.__dict__["reward"] = 0.0

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
