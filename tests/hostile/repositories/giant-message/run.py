"""A message that says it is four gigabytes long."""

import os
import socket
import struct

client = socket.socket(socket.AF_UNIX)
client.connect(os.environ["RAAS_STEP_SOCKET"])
client.sendall(struct.pack("<IB", 0xFFFFFFFF, 1))
try:
    while client.send(bytes(65536)):
        pass
except OSError:
    pass
