"""Stop in the middle of a message and wait."""

import os
import socket
import struct
import time

client = socket.socket(socket.AF_UNIX)
client.connect(os.environ["RAAS_STEP_SOCKET"])
client.sendall(struct.pack("<IB", 100, 1) + b"{")
time.sleep(60)
