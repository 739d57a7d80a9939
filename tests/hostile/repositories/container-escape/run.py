"""The usual ways out: the engine's socket, mounts, namespaces, set-uid programs, the kernel's rare doors."""

import ctypes
import os
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
for path in ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/raas/control.sock"]:
    if os.path.exists(path):
        print("BREACH: sees", path)
calls = {
    "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
    "unshare": lambda: libc.unshare(0x10000000),
    "user namespace": lambda: libc.unshare(0x10000000 | 0x00020000),
    "setns": lambda: libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0),
    "setuid": lambda: libc.setuid(0),
    "chroot": lambda: libc.chroot(b"/tmp"),
    "bpf": lambda: libc.syscall(321, 0, 0, 0),
    "keyctl": lambda: libc.syscall(250, 0, 0, 0),
    "userfaultfd": lambda: libc.syscall(323, 0),
    "perf": lambda: libc.syscall(298, 0, 0, -1, -1, 0),
    "reboot": lambda: libc.reboot(0x01234567),
    "init_module": lambda: libc.syscall(175, 0, 0, b""),
}
for name, call in calls.items():
    try:
        if call() >= 0:
            print("BREACH:", name)
    except OSError:
        pass
for command in (["su", "-c", "id"], ["mount", "-t", "tmpfs", "none", "/tmp"], ["newgrp"]):
    try:
        if subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=5).returncode == 0:
            if os.getuid() == 0 or command[0] == "mount":
                print("BREACH:", command)
    except (OSError, subprocess.TimeoutExpired):
        pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
