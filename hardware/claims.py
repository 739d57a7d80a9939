"""Which process has which pin, on the whole machine: one locked byte for each pin in a file that all share.

The file is the header's GPIO chip itself (`/dev/gpiochipN`), or the levels of simulated pins. So no data
directory, socket, user or mount namespace keeps two controllers on the same wires from seeing each other.
The GPIO libraries do not see to that: RPi.GPIO writes the chip's registers, hardware PWM and the kernel's
encoder are files that anybody in the group may open. The kernel lets go of a lock when its process dies,
by whatever cause, and keeps it while the process is merely stopped: then its pins are still driven.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from hardware.errors import StartupError

_FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, process."""


class PinClaims:
    """The pins that this process has claimed, until `close` or its end.

    Args:
        path: The file whose bytes stand for the pins; None: nobody else can have them.

    Raises:
        StartupError: The file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None
        if path is None:
            return
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StartupError(
                f"{path} cannot be opened ({error.strerror}): run as root or as a member of group gpio"
            ) from error

    def take(self, pin: int) -> None:
        """Claim a pin; again is no harm.

        Raises:
            StartupError: Another process has it.
        """
        try:
            self._lock(pin, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise StartupError(f"{self._path} cannot be locked ({error.strerror})") from error
            raise StartupError(
                f"GPIO {pin} is in use by another controller or guardian on this machine: stop that one "
                "(`systemctl stop raas-controller raas-guardian`), or give this one other pins"
            ) from error

    def give(self, pin: int) -> None:
        """Let go of a pin."""
        self._lock(pin, fcntl.F_UNLCK)

    def close(self) -> None:
        """Let go of all."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, pin: int, kind: int) -> None:
        # A lock of the open file, not of the process: that one would go with any other look at the chip.
        if self._file is not None:
            request = _FLOCK.pack(kind, os.SEEK_SET, pin, 1, 0)
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, request)
