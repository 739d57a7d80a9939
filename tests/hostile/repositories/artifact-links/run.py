"""Links, pipes and sockets where files should be."""

import os
import socket

os.symlink("/etc/passwd", "/artifacts/passwd")
os.symlink("/", "/artifacts/root")
os.symlink("..", "/artifacts/up")
os.mkfifo("/artifacts/pipe")
socket.socket(socket.AF_UNIX).bind("/artifacts/socket")
with open("/artifacts/plain", "w") as file:
    file.write("kept")
os.link("/artifacts/plain", "/artifacts/hard")
try:
    os.link("/etc/passwd", "/artifacts/host")
    print("BREACH: linked out")
except OSError:
    pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
