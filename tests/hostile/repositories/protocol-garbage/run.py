"""Noise instead of messages."""

import os
import socket

client = socket.socket(socket.AF_UNIX)
client.connect(os.environ["RAAS_STEP_SOCKET"])
client.sendall(os.urandom(100_000))
print(client.recv(1000))
client.recv(1000)
