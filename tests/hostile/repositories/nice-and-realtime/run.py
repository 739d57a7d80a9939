"""Be more important than the controller."""

import os

for name, call in {
    "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    "real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99)),
    "core 0": lambda: os.sched_setaffinity(0, {0}),
}.items():
    try:
        call()
        print("BREACH:", name)
    except OSError:
        pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
