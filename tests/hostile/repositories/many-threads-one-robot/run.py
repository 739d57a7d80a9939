"""One connection to the robot, driven by eight threads at once."""

import threading

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()


def drive():
    try:
        for _ in range(20):
            env.step([0.5])
    except Exception as error:
        print(repr(error))


threads = [threading.Thread(target=drive) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
