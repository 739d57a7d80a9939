"""The controller's side of the control contract (`raas_gym.control`): sockets, lines, errors.

What the requests mean is the controller's business (`controller.py`); here they become function calls and
answers. One thread a connection: they sleep in `recv` nearly always, so the tick loop has the processor.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from hardware.errors import StartupError
from hardware.telemetry import Feed, Follower
from raas_gym import control

MAX_CONNECTIONS = 64
IDLE_S = 300.0
"""A connection without a request for this long is closed [s]."""
FAREWELL_S = 2.0
"""How long a stream may take to send its last event when the controller stops [s]."""

log = logging.getLogger(__name__)


class Operations(Protocol):
    """What the server calls; both raise `ControlError` to refuse. They may be called from any thread."""

    def answer(self, request: dict[str, Any], gone: Callable[[], bool]) -> dict[str, Any]:
        """The answer to a request, without `ok`; `gone` says whether who asked has hung up by now.

        Raises:
            ConnectionError: They have, and nothing was done for them.
        """

    def feed(self, request: dict[str, Any]) -> Feed:
        """The feed that a `follow` request asks for."""


class ControlServer:
    """Listens on `path` (mode 0660) until `close`.

    Raises:
        StartupError: The path is taken by a living controller or by something that is no socket.
    """

    def __init__(self, path: Path, operations: Operations) -> None:
        self.path = path
        self._operations = operations
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closing = False
        self._listener = _listen(path)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        """Stop listening, let streams send their last event, hang up and remove the socket."""
        self._closing = True
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        _shut(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        peers = list(self._open.items())
        for connection, _ in peers:
            _shut(connection, socket.SHUT_RD)
        deadline = time.monotonic() + FAREWELL_S
        for connection, thread in peers:
            thread.join(max(0.0, deadline - time.monotonic()))
            _shut(connection, socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue  # the peer was gone already, or `close` ends the loop
            if not self._slots.acquire(blocking=False):
                refuse = control.ControlError("busy", f"{MAX_CONNECTIONS} connections are open: close one")
                with connection, contextlib.suppress(OSError):
                    connection.send(control.encode(_refusal(refuse)))
                continue
            thread = threading.Thread(target=self._serve, args=[connection], name="peer", daemon=True)
            self._open[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as lines:
                connection.settimeout(IDLE_S)
                for line in _lines(lines):
                    self._answer(connection, line)
                    connection.settimeout(IDLE_S)
        except OSError:
            pass  # the peer hung up or fell silent: it may come again
        finally:
            self._open.pop(connection, None)
            self._slots.release()

    def _answer(self, connection: socket.socket, line: bytes) -> None:
        feed, answer = self._perform(line, partial(_gone, connection))
        if feed is None:
            connection.sendall(control.encode(answer))
        else:
            self._follow(connection, feed)
        if len(line) > control.MAX_LINE:
            raise ConnectionAbortedError("where the next message begins is unknown")

    def _perform(self, line: bytes, gone: Callable[[], bool]) -> tuple[Feed | None, dict[str, Any]]:
        try:
            request = control.decode(line)
            if request.get("op") == "follow":
                return self._operations.feed(request), {}
            return None, {"ok": True, **self._operations.answer(request, gone)}
        except control.ControlError as error:
            return None, _refusal(error)
        except ConnectionError:
            raise
        except Exception:  # a fault of ours must not take the robot's control away
            log.exception("a request failed")
            fault = control.ControlError("internal", "the controller failed: its log has the traceback")
            return None, _refusal(fault)

    def _follow(self, connection: socket.socket, feed: Feed) -> None:
        try:
            follower = feed.subscribe()
        except control.ControlError as error:
            connection.sendall(control.encode(_refusal(error)))
            return
        try:
            connection.sendall(control.encode({"ok": True}))
            _stream(connection, follower)
        finally:
            feed.unsubscribe(follower)


def _shut(connection: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # it may be closed already
        connection.shutdown(how)


def _gone(connection: socket.socket) -> bool:
    """Whether the peer has hung up, read or unread what it sent before."""
    hangup = select.poll()
    hangup.register(connection, select.POLLRDHUP)
    return bool(hangup.poll(0))


def _refusal(error: control.ControlError) -> dict[str, Any]:
    return {"ok": False, "error": {"code": error.code, "message": str(error)}}


def _lines(lines: BinaryIO) -> Iterator[bytes]:
    while line := lines.readline(control.MAX_LINE + 1):
        if line.strip():
            yield line


def _stream(connection: socket.socket, follower: Follower) -> None:
    hangup = select.poll()
    hangup.register(connection, 0)
    last = False
    while not last:
        event, last = follower.next(timeout_s=1.0)
        if event is not None:
            _send_patiently(connection, event, lambda: follower.given_up)
        elif hangup.poll(0):
            raise ConnectionResetError("the follower hung up")


def _send_patiently(connection: socket.socket, data: bytes, give_up: Callable[[], bool]) -> None:
    """Send all of `data`, however slowly the peer reads, until `give_up`."""
    writable = select.poll()
    writable.register(connection, select.POLLOUT)
    rest = memoryview(data)
    while rest:
        if writable.poll(1000):
            rest = rest[connection.send(rest) :]
        elif give_up():
            raise TimeoutError("the follower does not read")


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > 100:  # the kernel's limit is 107
        raise StartupError(f"the path {path} is too long for a Unix socket: choose a shorter --socket")
    _clear(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)  # the socket is born with its mode: nobody slips in before a chmod
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise StartupError(f"cannot listen at {path}: {error.strerror}; choose another --socket") from error
    finally:
        os.umask(mask)
    listener.listen(2 * MAX_CONNECTIONS)
    return listener


def _clear(path: Path) -> None:
    """Remove the socket a dead controller left; refuse where a living one answers."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"{path} exists and is no socket: remove it or choose another --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise StartupError(f"another controller answers at {path}: stop it or choose another --socket")


def ask(path: Path, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send a request that is not in the contract with the runner (`maintain`) and wait for its answer.

    Raises:
        ControlError: Refused, or nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(control.encode(request))
            with connection.makefile("rb") as lines:
                answer = control.decode(lines.readline(control.MAX_LINE + 1))
        except OSError as error:
            raise control.ControlError(
                "unreachable",
                f"no controller answers at {path} ({error.strerror}): start it with `raas-controller serve`",
            ) from error
    if not answer.get("ok"):
        refusal = answer.get("error", {})
        raise control.ControlError(str(refusal.get("code")), str(refusal.get("message")))
    return answer
