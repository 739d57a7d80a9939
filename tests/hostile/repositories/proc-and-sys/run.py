"""Change and read the kernel's settings."""

import glob
import os

writable = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/proc/1/oom_score_adj",
            "/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent", "/sys/class/gpio/export", "/proc/sys/kernel/hostname"]
for path in writable + glob.glob("/sys/fs/cgroup/*/release_agent") + glob.glob("/sys/fs/cgroup/*/memory.limit_in_bytes"):
    try:
        with open(path, "w") as file:
            file.write("-1000")
        print("BREACH: wrote", path)
    except OSError:
        pass
for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware/dmi/tables/DMI", "/proc/latency_stats"]:
    try:
        with open(path, "rb") as file:
            if file.read(16):
                print("BREACH: read", path)
    except OSError:
        pass
try:
    os.sched_setaffinity(0, {0})
    print("BREACH: runs on the controller's processor")
except OSError:
    pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
