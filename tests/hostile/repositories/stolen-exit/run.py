"""Claim success from an exit handler after failing."""

import atexit
import os

atexit.register(lambda: os._exit(0))
raise SystemExit(3)
