"""Leave a process behind that goes on driving."""

import os
import time

import gymnasium as gym
import raas_gym

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        env = gym.make("RaasPendulum-v1")
        env.reset()
        while True:
            env.step([2.0])
    os._exit(0)
time.sleep(2.5)
print("the parent leaves")
