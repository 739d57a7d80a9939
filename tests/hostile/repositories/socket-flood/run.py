"""A thousand connections to the robot, then use it."""

import os
import socket

kept = []
for _ in range(900):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(0.2)
    try:
        client.connect(os.environ["RAAS_STEP_SOCKET"])
        kept.append(client)
    except OSError:
        break
print("connections", len(kept))
for client in kept:
    client.close()

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
