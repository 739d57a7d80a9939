"""A TCP line between two parts that can be led elsewhere, stalled and cut."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for zero seconds: closing sends a reset, as a router that lost its state would."""


class Line:
    """Carries every connection to a port of its own on to `target`, a port of 127.0.0.1.

    Attributes:
        port: Its own.
        target: Where new connections lead; set it to lead them elsewhere.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._whole = True
        self._flows = threading.Event()
        self._flows.set()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """What is told to those who use it."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection, and each new one at once."""
        self._whole = False
        self.reset()

    def stall(self) -> None:
        """Take everything, pass nothing on."""
        self._flows.clear()

    def mend(self) -> None:
        """As if nothing had been: what was held back goes on."""
        self._whole = True
        self._flows.set()

    def reset(self) -> None:
        """End the connections there are."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """No more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.mend()
        self.reset()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(near,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            self._flows.wait()
            if not self._whole:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return
            with socket.create_connection(("127.0.0.1", self.target), 10) as far:
                far.settimeout(None)
                self._join(near, far)

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        self._ends |= {near, far}
        back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
        back.start()
        self._carry(near, far)
        back.join()
        self._ends -= {near, far}

    def _carry(self, source: socket.socket, drain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                drain.sendall(data)
        with contextlib.suppress(OSError):
            drain.shutdown(socket.SHUT_WR)
