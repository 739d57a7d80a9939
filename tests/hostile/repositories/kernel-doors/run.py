"""Doors that some engines' own filters leave open: io_uring, sockets no namespace contains, other programs' insides."""

import ctypes
import os
import socket

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)
NUMBERS = {  # x86_64, aarch64
    "io_uring_setup": ((425, 425), (8, buffer)),
    "memfd_secret": ((447, 447), (0,)),
    "pidfd_getfd": ((438, 438), (0, 0, 0)),
    "userfaultfd": ((323, 282), (1,)),
    "perf_event_open": ((298, 241), (buffer, 0, -1, -1, 0)),
    "process_vm_readv": ((310, 270), (os.getppid(), 0, 0, 0, 0, 0)),
    "ptrace": ((101, 117), (16, os.getppid(), 0, 0)),
    "add_key": ((248, 217), (b"user", b"x", b"y", 1, -1)),
    "mq_open": ((240, 180), (b"q", 0o102, 0o600, 0)),
    "io_setup": ((206, 0), (8, buffer)),
    "syncfs": ((306, 267), (os.open("/repo", os.O_RDONLY),)),
}
for name, (numbers, arguments) in NUMBERS.items():
    if libc.syscall(numbers[os.uname().machine == "aarch64"], *arguments) >= 0:
        print("BREACH:", name)
for name in ("AF_VSOCK", "AF_ALG", "AF_PACKET", "AF_KEY", "AF_BLUETOOTH", "AF_CAN", "AF_QIPCRTR"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(getattr(socket, name), kind)
            print("BREACH:", name)
        except (OSError, AttributeError):
            pass
socket.socket(socket.AF_INET).close()  # what ordinary programs need still works

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
