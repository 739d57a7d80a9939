"""The host's end of the step socket: one admitted client, whole messages, and waits with a deadline.

Nothing here knows what a message means; that is `raas_gym.host`. A thread of its own keeps the door: it
admits the first client of an allowed user and sends every other away at once, so that the serving
thread has nothing to watch but its client.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from raas_gym.link import FRAME_TIMEOUT, FrameReader, Kind, LinkError, encode_error
from raas_gym.spin import Spinner

_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid
_CHUNK = 1 << 14


class InterruptedWaitError(Exception):
    """`Port.interrupt` was called."""


class Port:
    """Listens at `path` from construction on. Use from one thread, except `interrupt`."""

    def __init__(self, path: Path, mode: int, allowed_uids: Collection[int]) -> None:
        self._path = path
        self._allowed = frozenset(allowed_uids)
        self._reader = FrameReader()
        self._spinner = Spinner()
        self._client: socket.socket | None = None
        self._partial_since = 0.0
        self._interrupted = False
        self._arrival, self._closing = threading.Event(), threading.Event()
        self._listener = _listen(path, mode)
        self._door = threading.Thread(target=self._keep_door, name="step-door", daemon=True)
        self._door.start()

    def accept(self, deadline: float | None) -> bool:
        """Wait for a client of an allowed user; False if none came by the deadline (monotonic s)."""
        arrived = self._arrival.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if self._interrupted:
            raise InterruptedWaitError
        return arrived

    def next_message(self, deadline: float | None) -> tuple[Kind, bytes] | None:
        """The client's next message, or None at the deadline.

        Raises LinkError: "gone" if the client left, "protocol" for a malformed frame or one that stays
        incomplete for FRAME_TIMEOUT. Raises InterruptedWaitError.
        """
        reader = self._reader
        while True:
            if reader.partial and (message := reader.next()) is not None:
                return message
            if deadline is None and not reader.partial:
                self._take(None)
                continue
            heard = self._wait(self._limit(deadline))
            if not heard and deadline is not None and time.monotonic() >= deadline:
                return None

    def _limit(self, deadline: float | None) -> float | None:
        """The deadline, or the moment at which an incomplete message has taken too long."""
        if not self._reader.partial:
            return deadline
        hung = self._partial_since + FRAME_TIMEOUT
        if time.monotonic() >= hung:
            raise LinkError("protocol", f"a message was not completed within {FRAME_TIMEOUT:g} s")
        return hung if deadline is None else min(deadline, hung)

    def send(self, data: bytes, patience: float) -> None:
        """Send to the client, which must take it within `patience` seconds; raises LinkError."""
        client, sent = self._admitted(), 0
        try:
            sent = client.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        except OSError as error:
            raise LinkError("gone", "the program's connection broke") from error
        if sent != len(data):
            self._send_slowly(client, data[sent:], time.monotonic() + patience)

    def dismiss(self, code: str, message: str) -> None:
        """Tell the client why it is over, if it still listens."""
        if self._client is not None:
            with suppress(OSError):
                self._client.send(encode_error(code, message), socket.MSG_DONTWAIT)

    def interrupt(self) -> None:
        """Make the current or next wait raise InterruptedWaitError. Any thread, any time."""
        self._interrupted = True
        self._arrival.set()
        client = self._client
        if client is not None:
            with suppress(OSError):  # it is gone already
                client.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close everything and remove the socket's file."""
        self._closing.set()
        self._path.unlink(missing_ok=True)
        with suppress(OSError):  # wakes the door's accept, which closing alone does not
            self._listener.shutdown(socket.SHUT_RDWR)
        self._door.join()
        self._listener.close()
        if self._client is not None:
            self._client.close()

    def _admitted(self) -> socket.socket:
        if self._client is None:
            raise LinkError("gone", "no program is connected")
        return self._client

    def _wait(self, deadline: float | None) -> bool:
        """Wait for the client until the deadline; True if it sent something."""
        if self._interrupted:
            raise InterruptedWaitError
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        # select alone takes a timeout finer than a millisecond.
        return bool(select.select([self._admitted()], (), (), timeout)[0]) and self._take(socket.MSG_DONTWAIT)

    def _take(self, flags: int | None) -> bool:
        """Receive something; without flags, wait until there is something."""
        client = self._admitted()
        try:
            data = self._spinner.recv(client, _CHUNK) if flags is None else client.recv(_CHUNK, flags)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LinkError("gone", "the program's connection broke") from error
        if self._interrupted:
            raise InterruptedWaitError
        if not data:
            raise LinkError("gone", "the program closed its connection")
        if not self._reader.partial:
            self._partial_since = time.monotonic()
        self._reader.feed(data)
        return True

    @staticmethod
    def _send_slowly(client: socket.socket, data: bytes, until: float) -> None:
        view = memoryview(data)
        while view:
            if not select.select((), [client], (), max(0.0, until - time.monotonic()))[1]:
                raise LinkError("protocol", "the program does not read its answers")
            try:
                view = view[client.send(view, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise LinkError("gone", "the program's connection broke") from error

    def _keep_door(self) -> None:
        while not self._closing.is_set():
            try:
                self._admit(self._listener.accept()[0])
            except OSError:
                self._closing.wait(0.05)

    def _admit(self, peer: socket.socket) -> None:
        """Take a caller as our client, or send it away."""
        uid = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
        if uid not in self._allowed:
            _send_away(peer, "forbidden", f"user {uid} may not use this robot's session")
        elif self._client is not None:
            _send_away(
                peer, "busy", "another client has this robot; make one environment per job, and reset it"
            )
        else:
            self._client = peer
            self._arrival.set()


def _send_away(peer: socket.socket, code: str, message: str) -> None:
    with peer, suppress(OSError):
        peer.send(encode_error(code, message), socket.MSG_DONTWAIT)


def _listen(path: Path, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(4)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot serve at {path} ({error}); use a short path in a new directory") from error
    return listener
