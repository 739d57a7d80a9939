"""The host's end of the step socket: one admitted client, whole messages, and waits with a deadline.

Nothing here knows what a message means; that is `raas_gym.host`. Every wait watches the client, the
listening socket (a second client is sent away at once, not left hanging) and the wake-up of `interrupt`.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from raas_gym.link import FRAME_TIMEOUT, FrameReader, Kind, LinkError, encode_error

_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid


class InterruptedWaitError(Exception):
    """`Port.interrupt` was called."""


class Port:
    """Listens at `path` from construction on. Use from one thread, except `interrupt`."""

    def __init__(self, path: Path, mode: int, allowed_uids: Collection[int], *, eager: bool = False) -> None:
        self._path = path
        self._allowed = frozenset(allowed_uids)
        self._reader = FrameReader()
        self._client: socket.socket | None = None
        self._partial_since = 0.0
        self._listener = _listen(path, mode)
        self._woken, self._waker = socket.socketpair()

    @property
    def connected(self) -> bool:
        """True once a client was admitted."""
        return self._client is not None

    def accept(self, deadline: float | None) -> bool:
        """Wait for a client of an allowed user; False if none came by the deadline (monotonic s)."""
        while self._client is None:
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self._wait(deadline)
        return True

    def next_message(self, deadline: float | None) -> tuple[Kind, bytes] | None:
        """The client's next message, or None at the deadline.

        Raises LinkError: "gone" if the client left, "protocol" for a malformed frame or one that stays
        incomplete for FRAME_TIMEOUT. Raises InterruptedWaitError.
        """
        while (message := self._reader.next()) is None:
            limit = deadline
            if self._reader.partial:
                hung = self._partial_since + FRAME_TIMEOUT
                if time.monotonic() >= hung:
                    raise LinkError("protocol", f"a message was not completed within {FRAME_TIMEOUT:g} s")
                limit = hung if deadline is None else min(deadline, hung)
            if not self._wait(limit) and deadline is not None and time.monotonic() >= deadline:
                return None
        return message

    def send(self, data: bytes, patience: float) -> None:
        """Send to the client, which must take it within `patience` seconds; raises LinkError."""
        client, view = self._admitted(), memoryview(data)
        try:
            with suppress(BlockingIOError):
                view = view[client.send(data) :]
            until = time.monotonic() + patience if view else 0.0
            while view:
                with suppress(BlockingIOError):
                    view = view[client.send(view) :]
                    continue
                if not select.select((), [client], (), max(0.0, until - time.monotonic()))[1]:
                    raise LinkError("protocol", "the program does not read its answers")
        except OSError as error:
            raise LinkError("gone", "the program's connection broke") from error

    def dismiss(self, code: str, message: str) -> None:
        """Tell the client why it is over, if it still listens."""
        if self._client is not None:
            with suppress(OSError):
                self._client.send(encode_error(code, message))

    def interrupt(self) -> None:
        """Make the current or next wait raise InterruptedWaitError. Any thread, any time."""
        with suppress(OSError):  # closed already
            self._waker.send(b"x")

    def close(self) -> None:
        """Close everything and remove the socket's file."""
        for one in (self._client, self._listener, self._woken, self._waker):
            if one is not None:
                one.close()
        self._path.unlink(missing_ok=True)

    def _admitted(self) -> socket.socket:
        if self._client is None:
            raise LinkError("gone", "no program is connected")
        return self._client

    def _wait(self, deadline: float | None) -> bool:
        """Wait for anything to happen until the deadline; True if the client sent something."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        client, watched = self._client, [self._listener, self._woken]
        if client is not None:
            watched.append(client)
        # select alone takes a timeout finer than a millisecond.
        ready = select.select(watched, (), (), timeout)[0]
        if ready == [client]:
            return self._take()
        if self._woken in ready:
            raise InterruptedWaitError
        if self._listener in ready:
            self._admit()
        return client in ready and self._take()

    def _take(self) -> bool:
        if not self._reader.partial:
            self._partial_since = time.monotonic()
        try:
            data = self._admitted().recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LinkError("gone", "the program's connection broke") from error
        if not data:
            raise LinkError("gone", "the program closed its connection")
        self._reader.feed(data)
        return True

    def _admit(self) -> None:
        """Take the waiting connection as our client, or send it away."""
        try:
            peer, _ = self._listener.accept()
        except OSError:  # it gave up before we came
            return
        uid = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
        if uid not in self._allowed:
            _send_away(peer, "forbidden", f"user {uid} may not use this robot's session")
        elif self._client is not None:
            _send_away(
                peer, "busy", "another client has this robot; make one environment per job, and reset it"
            )
        else:
            peer.setblocking(False)
            self._client = peer


def _send_away(peer: socket.socket, code: str, message: str) -> None:
    with peer, suppress(OSError):
        peer.setblocking(False)
        peer.send(encode_error(code, message))


def _listen(path: Path, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(4)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot serve at {path} ({error}); use a short path in a new directory") from error
    listener.setblocking(False)
    return listener
