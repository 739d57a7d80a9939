"""A rotary encoder that the kernel believes in: an input device made by uinput. Standard library only."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

DEVICE = Path("/dev/uinput")
_EVENT = struct.Struct("llHHi")
_SET_EVBIT, _SET_RELBIT, _CREATE, _DESTROY = 0x40045564, 0x40045566, 0x5501, 0x5502
_EV_SYN, _EV_REL, _REL_X = 0, 2, 0
NAME = b"rotary@17"
"""What the kernel's driver calls the encoder on GPIO 23 (hexadecimal 17)."""


class Turner:
    """Turns the encoder."""

    def __init__(self, file: int) -> None:
        self._file = file

    def turn(self, steps: Iterable[int]) -> None:
        """One event for each step, with its own report."""
        for step in steps:
            event = _EVENT.pack(0, 0, _EV_REL, _REL_X, step) + _EVENT.pack(0, 0, _EV_SYN, 0, 0)
            os.write(self._file, event)


@contextmanager
def rotary() -> Iterator[Turner]:
    """The device while it is needed."""
    file = os.open(DEVICE, os.O_WRONLY)
    try:
        fcntl.ioctl(file, _SET_EVBIT, _EV_REL)
        fcntl.ioctl(file, _SET_RELBIT, _REL_X)
        os.write(file, struct.pack("80s4HI256i", NAME, 0x19, 0, 0, 0, 0, *[0] * 256))
        fcntl.ioctl(file, _CREATE)
        time.sleep(0.5)  # until the device's node is there
        yield Turner(file)
        fcntl.ioctl(file, _DESTROY)
    finally:
        os.close(file)
