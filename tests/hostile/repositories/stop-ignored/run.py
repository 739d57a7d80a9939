"""Ignore every polite request to stop."""

import os
import signal
import time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_IGN)
print("begun", flush=True)
while True:
    time.sleep(1)
