"""Signs of life for systemd (`WatchdogSec` in the units): whoever gives none is killed and begun anew.

For the guardian it closes a gap that no other process can: one that hangs still holds its line.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Watchdog:
    """Reports to the service manager that `environment` names; without one it does nothing, and never waits.

    Attributes:
        period_s: How often to call `feed` at least [s]; None: never.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address, limit = environment.get("NOTIFY_SOCKET", ""), environment.get("WATCHDOG_USEC", "")
        self.period_s: float | None = None
        self._socket: socket.socket | None = None
        if not address:
            return
        if limit.isdecimal():
            self.period_s = int(limit) / 1e6 / 4
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            peer.connect("\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            peer.close()
            log.warning("systemd does not listen at %s (%s)", address, error.strerror)
            return
        self._socket = peer

    def ready(self) -> None:
        """Say that the start is over; from now on the signs of life are wanted."""
        self._send(b"READY=1")

    def feed(self) -> None:
        """Say that all is well."""
        if self.period_s is not None:
            self._send(b"WATCHDOG=1")

    def close(self) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, word: bytes) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # systemd is being restarted, or busy: the next one counts
                self._socket.send(word)
