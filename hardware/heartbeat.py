"""GUARD CONTRACT: the messages between controller and guardian.

The guardian listens on a Unix sequenced-packet socket (mode 0660) and serves one controller at a time: the
newest one wins, because the older one can only be a ghost. The controller sends beats, each one packet of
`BEAT`: a sequence number, its monotonic clock [s], and whether the motor may have current (`arm`). The
guardian answers each beat with one byte, its state, and says so unasked when it trips:

    D  disarmed: the enable line is low, as asked
    A  armed: the enable line is high
    T  tripped: it took the line down by itself; only a beat with arm=0 leads back to D

It trips when armed and no beat came for `SILENCE_S`, a beat is older than that by its own clock (the process
was stopped, or lost its clock), the sequence goes backwards, or a packet is malformed. A connection that
ends drops the line within the same turn of its loop.

The other way round, a guardian that hangs up or leaves `MOST_UNANSWERED` beats unanswered counts as gone: the
controller stops its own pins, and takes the line down where the guardian's death left it free. Beats are
counted, not seconds: a controller that was stopped sent none.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import NamedTuple

BEAT = struct.Struct("<Qd?")
PERIOD_S = 0.01
SILENCE_S = 0.08
MOST_UNANSWERED = 7
DISARMED, ARMED, TRIPPED = b"D", b"A", b"T"


class Beat(NamedTuple):
    """One beat of the controller."""

    number: int
    t: float
    arm: bool


class GuardianLink:
    """The controller's end. Not thread-safe: one thread beats.

    Args:
        path: The guardian's socket.
        patience: After how many beats without an answer it counts as gone.

    Raises:
        OSError: No guardian listens at `path`.
    """

    def __init__(self, path: Path, patience: int = MOST_UNANSWERED) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._number = 0
        self._unanswered = 0
        self._patience = patience
        self.state: bytes = DISARMED
        """The guardian's last word."""
        self.answered = False
        """Whether it ever said one: a guardian that hangs still lets controllers connect."""
        try:
            self._socket.settimeout(1.0)
            self._socket.connect(str(path))
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def beat(self, t: float, arm: bool) -> bytes:
        """Send a beat; returns the guardian's last word, or `TRIPPED` where that came since the last beat.

        Raises:
            OSError: The guardian is gone, or hangs.
        """
        self._number += 1
        self._unanswered += 1
        self._socket.send(BEAT.pack(self._number, t, arm))
        words = b""
        try:
            while word := self._socket.recv(16):
                words += word
        except BlockingIOError:
            if words:
                self.answered, self._unanswered = True, 0
            if self._unanswered > self._patience:
                raise TimeoutError("the guardian does not answer") from None
            self.state = (self.state + words)[-1:]
            # A trip counts even where "disarmed" has already followed it.
            return TRIPPED if TRIPPED in words else self.state
        raise ConnectionResetError("the guardian closed the connection")

    def close(self) -> None:
        """Hang up: the guardian drops the line."""
        self._socket.close()
