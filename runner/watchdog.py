"""Tells systemd that the runner is up, and that its loop makes progress; without systemd it tells nobody.

The protocol is `sd_notify(3)`: datagrams to the Unix socket that `NOTIFY_SOCKET` names. Pings come from a
thread of their own, for the loop may wait long for Docker or the network; it pings only while the loop has
moved on not too long ago, so that a loop that hangs for good is ended and started anew.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

STUCK_S = 1200.0
"""A loop that stood still for so long hangs [s]: longer than any single wait for Docker or for the server."""

TELL_S = 2.0
"""How long a systemd that does not listen is waited for [s]."""

logger = logging.getLogger(__name__)


class Watchdog:
    """One process's line to systemd.

    Args:
        environ: Where systemd left word (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._period_s = _period_s(environ)

    def tell(self, state: str) -> None:
        """Send one line or several, such as `READY=1`; nothing that goes wrong here stops the runner."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.settimeout(TELL_S)
                line.connect(self._address)
                line.sendall(state.encode())
        except OSError as error:
            logger.warning("systemd is not told %r: %s", state, error)

    @contextmanager
    def watching(self, moved_at: Callable[[], float], stuck_s: float = STUCK_S) -> Iterator[None]:
        """Ready; ping while in this block, as long as the loop moves on; stopping.

        Args:
            moved_at: When the loop last made progress (monotonic clock).
            stuck_s: How long it may stand still [s].
        """
        over = threading.Event()
        thread = threading.Thread(
            target=self._ping, args=(moved_at, stuck_s, over), name="watchdog", daemon=True
        )
        self.tell("READY=1")
        if self._period_s is not None:
            thread.start()
        try:
            yield
        finally:
            over.set()
            self.tell("STOPPING=1")

    def _ping(self, moved_at: Callable[[], float], stuck_s: float, over: threading.Event) -> None:
        while True:
            still_s = time.monotonic() - moved_at()
            if still_s < stuck_s:
                self.tell("WATCHDOG=1")
            else:
                logger.error("the loop has stood still for %.0f s: systemd is not pinged", still_s)
            if over.wait((self._period_s or 1.0) / 3):
                return


def _address(name: str) -> str:
    """A name that begins with `@` is in the abstract namespace."""
    return "\0" + name[1:] if name.startswith("@") else name


def _period_s(environ: Mapping[str, str]) -> float | None:
    """How often systemd wants to be pinged at least [s]; None: not at all."""
    try:
        if int(environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return None
        return int(environ["WATCHDOG_USEC"]) / 1e6 or None
    except (KeyError, ValueError):
        return None
