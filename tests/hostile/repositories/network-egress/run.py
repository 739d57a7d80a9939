"""Reach anything but this container: TCP, UDP, raw and packet sockets, name service."""

import socket

print("interfaces", [name for _, name in socket.if_nameindex() if name != "lo"])
for address in [("1.1.1.1", 53), ("8.8.8.8", 443), ("172.17.0.1", 22), ("10.0.0.1", 80), ("192.168.1.1", 80)]:
    try:
        socket.create_connection(address, 1)
        print("BREACH: connected to", address)
    except OSError:
        pass
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("1.1.1.1", 53))
    print("BREACH: sent a datagram")
except OSError:
    pass
for family, kind in [(socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)]:
    try:
        socket.socket(family, kind, 1)
        print("BREACH: raw socket")
    except OSError:
        pass
try:
    socket.getaddrinfo("example.org", 80)
    print("BREACH: a name was resolved")
except OSError:
    pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
