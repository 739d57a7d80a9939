"""Read and write the memory of every process in sight."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
print("processes in sight", len(pids))
if len(pids) > 20:
    print("BREACH: the host's processes are visible")
for pid in pids:
    with open(f"/proc/{pid}/comm") as file:
        if file.read().strip() not in ("docker-init", "sh", "python", "python3", "dumb-init", "tini"):
            print("BREACH: a stranger's process", pid)
    if pid == 1:
        libc.ptrace(16, pid, 0, 0)
        libc.ptrace(17, pid, 0, 0)
try:
    open("/proc/1/mem", "r+b")
    print("its own pid 1 only")
except OSError:
    pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
