"""A `recv` that looks for a moment before it sleeps, as long as looking pays.

Putting a process to sleep and waking it on another core costs more than a simulated step. With no clock to
wait for (pacing off), the answer is some microseconds away, so looking for it without sleeping halves the
round trip, if both sides have a core of their own. If they share one, looking keeps the other side from
running. Nobody tells us which, so we find out: looks that find nothing use up their credit, and then we
sleep at once for a while.
"""

from __future__ import annotations

import os
import socket
import time

LOOK = 0.0002
"""Seconds to look before sleeping: several simulated steps."""
CREDIT = 16
"""Looks in vain, less those that paid, before we stop looking."""
REST = 2000
"""Messages until we try again."""


class Spinner:
    """Receives from one socket at a time. Where there is a single core it never looks."""

    def __init__(self) -> None:
        self._alone = (os.cpu_count() or 1) < 2
        self._credit = CREDIT
        self._rest = 0

    def recv(self, sock: socket.socket, size: int) -> bytes:
        """`sock.recv(size)`: sleeps in the end, and raises what that raises."""
        if self._may_look():
            until = time.monotonic() + LOOK
            while time.monotonic() < until:
                try:
                    data = sock.recv(size, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                self._credit = min(CREDIT, self._credit + 1)
                return data
            self._credit -= 2
            self._rest = 0 if self._credit > 0 else REST
        return sock.recv(size)

    def _may_look(self) -> bool:
        if self._alone:
            return False
        if self._rest:
            self._rest -= 1
            self._credit = 2
        return not self._rest
