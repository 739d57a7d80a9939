"""The client's end of the step socket: connect, ask, and say clearly why it is over."""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import suppress

from gymnasium.error import ClosedEnvironmentError

from raas_gym.flat import decode_space, space_size
from raas_gym.link import (
    PROTOCOL,
    SOCKET_VARIABLE,
    FrameReader,
    Kind,
    LinkError,
    Spec,
    StateCodec,
    decode_error,
    frame,
    receive,
    send,
)
from raas_gym.spin import Spinner
from raas_gym.version import __version__

PATIENCE = 120
"""Seconds without an answer after which a robot is taken for hung; a reset on hardware may take 30."""


class SessionError(RuntimeError):
    """The robot's session cannot start or is over; the message says why and what to do."""


class Connection:
    """One session: `robot` is the host's spec, `codec` and the spaces follow from it.

    Raises SessionError where there is no robot, none for us, or one that speaks another version.
    """

    def __init__(self, path: str | None) -> None:
        self._reader = FrameReader()
        self._spinner = Spinner()
        self._socket: socket.socket | None = _connect(path)
        try:
            self.robot = self._hello()
            self.action_space = decode_space(self.robot.action_space)
            self.observation_space = decode_space(self.robot.observation_space)
        except ValueError as error:
            self.drop()
            raise SessionError(f"{error}; the robot may be newer than this raas: update it") from error
        except BaseException:
            self.drop()
            raise
        self.codec = StateCodec(space_size(self.action_space), space_size(self.observation_space))

    def ask(self, message: bytes) -> tuple[float, ...]:
        """Send one message and wait for its STATE, as `StateCodec` describes it.

        Raises SessionError when the session is over, ValueError for a refused reset option,
        ClosedEnvironmentError after `drop`.
        """
        sock = self.open_socket()
        try:
            with suppress(OSError):  # the host's reason may still be waiting to be read
                sock.sendall(message)
            data = b"" if self._reader.partial else self._answer(sock)
            state = self.codec.decode_state_frame(data)
            if state is not None:
                return state
            self._reader.feed(data)
            kind, payload = receive(sock, self._reader)
        except (LinkError, OSError) as error:
            self.drop()
            raise SessionError(f"the robot's session is over: {error}") from error
        except BaseException:
            # Interrupted between question and answer: the next answer would be that of this question.
            self.drop()
            raise
        if kind is not Kind.STATE:
            raise self._refusal(kind, payload)
        return self.codec.decode_state(payload)

    def _answer(self, sock: socket.socket) -> bytes:
        """What the host sends first; with pacing on it is a tick away, and sleeping is all there is to do."""
        size = self.codec.state_bytes
        return sock.recv(size) if self.robot.realtime else self._spinner.recv(sock, size)

    def close(self) -> None:
        """Leave the session; the motor goes off. Safe to call twice."""
        if self._socket is not None:
            with suppress(LinkError):  # it is over already
                send(self._socket, frame(Kind.BYE))
            self.drop()

    def drop(self) -> None:
        """Close the socket without a word."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def open_socket(self) -> socket.socket:
        """The socket; raises ClosedEnvironmentError if it was closed."""
        if self._socket is None:
            raise ClosedEnvironmentError(
                "this environment was closed or its session is over; a job has one session"
            )
        return self._socket

    def _hello(self) -> Spec:
        hello = json.dumps({"protocol": PROTOCOL, "client": f"raas_gym {__version__}"}).encode()
        sock = self.open_socket()
        try:
            with suppress(LinkError):  # refused before we spoke: the reason waits to be read
                send(sock, frame(Kind.HELLO, hello))
            kind, payload = receive(sock, self._reader)
            if kind is not Kind.SPEC:
                raise self._refusal(kind, payload)
            robot = Spec.from_json(payload)
        except LinkError as error:
            raise SessionError(f"the robot's session cannot start: {error.message}") from error
        if robot.protocol != PROTOCOL:
            raise SessionError(
                f"this robot speaks protocol {robot.protocol}, not {PROTOCOL}; install the matching raas"
            )
        return robot

    def _refusal(self, kind: Kind, payload: bytes) -> Exception:
        """What an answer other than the expected one means."""
        error = decode_error(payload) if kind is Kind.ERROR else None
        if error is not None and error.code == "option":
            return ValueError(error.message)
        self.drop()
        if error is None:
            return SessionError(f"the robot answered with {kind.name} out of turn; is this another program?")
        return SessionError(f"the robot's session is over ({error.code}): {error.message}")


def _connect(path: str | None) -> socket.socket:
    path = path or os.environ.get(SOCKET_VARIABLE)
    if not path:
        raise SessionError(
            f"no robot here: {SOCKET_VARIABLE} is not set; run this inside a job, or with `raas run`"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Blocking with a limit kept by the kernel: Python's own timeout would cost a system call each time.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE, 0))
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        why = error.strerror or error
        raise SessionError(
            f"no robot answers at {path} ({why}); the job's one session may be over"
        ) from error
    return sock
