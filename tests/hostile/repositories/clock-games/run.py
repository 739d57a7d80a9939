"""Set the clock, and lie about it."""

import ctypes
import time

libc = ctypes.CDLL(None, use_errno=True)
for name, call in {
    "clock_settime": lambda: libc.clock_settime(0, (ctypes.c_long * 2)(0, 0)),
    "settimeofday": lambda: libc.settimeofday((ctypes.c_long * 2)(0, 0), None),
    "adjtimex": lambda: libc.syscall(159, (ctypes.c_long * 26)(1, 1 << 40)),
}.items():
    if call() == 0:
        print("BREACH:", name)
time.monotonic = time.time = time.perf_counter = lambda: 0.0
time.sleep = lambda *_: None
began = 0.0

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
