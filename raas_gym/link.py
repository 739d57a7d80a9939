"""STEP CONTRACT: the messages between a job's container and the controller, version 1.

A Unix stream socket in a directory made for one session. One client at a time; the host checks the
peer's user id. Every message is a frame: its length in bytes (uint32, little-endian, counting what
follows), one byte that names the kind, and the payload. JSON payloads are UTF-8 objects; all other
payloads are fixed structs of little-endian float64 whose size both sides know from the spec.
Nothing is ever unpickled or evaluated.

What is said, in order:

1. HELLO, client: JSON `{"protocol": 1, "client": "raas_gym 0.1.0"}`. First message, once.
2. SPEC, host: JSON, see `Spec`. The session's clock does not run yet and the motor is off.
3. RESET, client: JSON `{"seed": int or null, "options": {…}}`, at most 64 KiB. The host brings the robot
   to the start (hardware: this may take seconds) and answers STATE. Tick 0 begins with that answer.
   A reset before the first STEP of an episode goes on with that episode: its clock keeps the score.
4. STEP, client: the action, one float64 for each of its elements (a Discrete action is one number).
   The host limits and applies it at once, waits for the tick to end, measures, and answers STATE.
   Exactly one STATE answers each RESET, STEP and OBSERVE; a client sends nothing while it waits.
5. OBSERVE, client: empty. The host answers STATE at once with the latest observation; no tick is waited
   for and no action changes. Reward is 0 in this answer.
6. STATE, host: a struct, see `StateCodec`: t [s since reset], reward (of all ticks since the last
   STATE that answered a STEP), missed_ticks (ticks since then that no action reached), three flags
   (late, terminated, truncated), the applied action, the observation.
7. BYE, client: empty. The session ends; closing the socket means the same.
8. ERROR, host: JSON `{"code": …, "message": …}`; the host closes afterwards. Codes: `protocol` (a
   malformed, oversized or untimely message), `version`, `busy` (another client has the robot), `forbidden`
   (wrong user), `option` (a reset option the robot cannot honour: this one alone does not end the
   session), `ended` (with the reason: a limit was reached, the job was cancelled, the robot failed).

Time belongs to the host: it ticks at absolute deadlines whether or not the client steps, holds the
last action for `hold_ticks` ticks and then applies none until the next. Limits: a frame is at most
1 MiB, JSON from the client at most 64 KiB, a space at most 16,384 elements. A message that breaks a
rule ends the session with ERROR and stops the motor. A peer that stops in the middle of a frame is
given `FRAME_TIMEOUT` seconds. A host that speaks another version answers HELLO with `version`.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

PROTOCOL = 1
MAX_FRAME = 1 << 20
MAX_JSON = 1 << 16
FRAME_TIMEOUT = 2.0
SOCKET_VARIABLE = "RAAS_STEP_SOCKET"

_LENGTH = struct.Struct("<I")
_HEADER = struct.Struct("<IB")


class LinkError(RuntimeError):
    """The other side broke the contract, refused, or went away. `code`: the contract's, or "gone"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Kind(IntEnum):
    """The kinds of message; a client sends those under 128."""

    HELLO = 1
    RESET = 2
    STEP = 3
    OBSERVE = 4
    BYE = 5
    SPEC = 128
    STATE = 129
    ERROR = 130


@dataclass(frozen=True)
class Spec:
    """What the host serves: JSON of the SPEC message.

    `columns` name the recorded observation. `horizon` is the number of scored ticks. `realtime` is
    False where the clock waits for the client. Spaces are as `raas_gym.flat` encodes them.
    """

    env_id: str
    robot: str
    dt: float
    horizon: int
    action_space: Mapping[str, Any]
    observation_space: Mapping[str, Any]
    columns: tuple[str, ...] = ()
    action_columns: tuple[str, ...] = ()
    hold_ticks: int = 2
    realtime: bool = True
    simulated: bool = True
    max_ticks: int | None = None
    max_resets: int | None = None
    passport: Mapping[str, Any] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def to_json(self) -> bytes:
        """The payload of SPEC."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, payload: bytes) -> Spec:
        """Parse a SPEC payload; raises LinkError."""
        values = decode_json(payload, MAX_FRAME)
        try:
            known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
            for name in ("columns", "action_columns"):
                known[name] = tuple(map(str, values.get(name, ())))
            spec = cls(**known)
            sound = spec.dt > 0 and spec.protocol > 0 and spec.action_space and spec.observation_space
        except (TypeError, ValueError) as error:
            raise LinkError(
                "protocol", f"the robot's description is incomplete ({error}); update raas"
            ) from error
        if not sound:
            raise LinkError(
                "protocol", "the robot's description is incomplete (impossible values); update raas"
            )
        return spec


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """One message, ready to send. Raises ValueError above MAX_FRAME."""
    if len(payload) >= MAX_FRAME:
        raise ValueError(f"a message of {len(payload)} bytes exceeds the limit of {MAX_FRAME}; send less")
    return _HEADER.pack(len(payload) + 1, kind) + payload


class FrameReader:
    """Cuts a byte stream into messages: `feed` bytes as they come, then take messages with `next`.

    Pure: no socket, no clock. Raises LinkError for a frame that is empty, too long or of an unknown kind.
    """

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def partial(self) -> bool:
        """True in the middle of a message."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Append what was received."""
        # Nearly always a whole message comes at once, and nothing is copied.
        self._buffer = self._buffer + data if self._buffer else data

    def next(self) -> tuple[Kind, bytes] | None:
        """The next whole message as (kind, payload), or None."""
        buffer = self._buffer
        if len(buffer) < _HEADER.size:
            if len(buffer) == _LENGTH.size:
                _checked_length(_LENGTH.unpack(buffer)[0])
            return None
        length, number = _HEADER.unpack_from(buffer)
        end = _LENGTH.size + length
        if len(buffer) < end or not length or number not in _KINDS:
            _checked_length(length)
            if number not in _KINDS:
                raise LinkError("protocol", f"message kind {number} does not exist in protocol {PROTOCOL}")
            return None
        self._buffer = buffer[end:]
        return _KINDS[number], buffer[_HEADER.size : end]


_KINDS = {int(kind): kind for kind in Kind}
# Plain numbers: packing an enum costs ten times as much.
_STEP, _STATE = int(Kind.STEP), int(Kind.STATE)


def _checked_length(length: int) -> None:
    if not 1 <= length <= MAX_FRAME:
        raise LinkError("protocol", f"a message of {length} bytes is outside 1..{MAX_FRAME}")


def decode_json(payload: bytes, limit: int = MAX_JSON) -> dict[str, Any]:
    """A JSON object from a payload; raises LinkError if it is too long or is none."""
    if len(payload) > limit:
        raise LinkError("protocol", f"a JSON message of {len(payload)} bytes exceeds the limit of {limit}")
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise LinkError("protocol", "a message is not JSON") from error
    if not isinstance(value, dict):
        raise LinkError("protocol", "a message is JSON, but not an object")
    return value


def encode_error(code: str, message: str) -> bytes:
    """An ERROR frame."""
    return frame(Kind.ERROR, json.dumps({"code": code, "message": message}).encode())


def decode_error(payload: bytes) -> LinkError:
    """The exception an ERROR payload stands for."""
    value = decode_json(payload)
    return LinkError(
        str(value.get("code", "protocol")), str(value.get("message", "the robot reported an error"))
    )


class StateCodec:
    """STEP and STATE messages for known sizes, as whole frames and as payloads.

    STEP is `action_size` float64. STATE is float64 t, reward, missed_ticks, late, terminated, truncated,
    then the applied action and the observation. A state is handled as the flat tuple of these numbers:
    `applied` and `observation` are the slices of the last two.
    """

    def __init__(self, action_size: int, observation_size: int) -> None:
        numbers = 6 + action_size + observation_size
        self._action = struct.Struct(f"<{action_size}d")
        self._state = struct.Struct(f"<{numbers}d")
        self._framed_action = struct.Struct(f"<IB{action_size}d")
        self._framed_state = struct.Struct(f"<IB{numbers}d")
        self._state_head = _HEADER.pack(self._state.size + 1, Kind.STATE)
        self.state_bytes = self._framed_state.size
        self.applied, self.observation = slice(6, 6 + action_size), slice(6 + action_size, numbers)

    def step_frame(self, action: Sequence[float]) -> bytes:
        """A whole STEP message."""
        return self._framed_action.pack(self._action.size + 1, _STEP, *action)

    def decode_action(self, payload: bytes) -> tuple[float, ...]:
        """The action of a STEP payload; raises LinkError for a wrong size or a number that is not finite."""
        if len(payload) != self._action.size:
            raise LinkError("protocol", f"an action has {self._action.size} bytes, not {len(payload)}")
        action = self._action.unpack(payload)
        if not all(map(math.isfinite, action)):
            raise LinkError("protocol", "an action is not finite")
        return action

    def state_frame(self, *numbers: float) -> bytes:
        """A whole STATE message of the numbers in their order."""
        return self._framed_state.pack(self._state.size + 1, _STATE, *numbers)

    def decode_state_frame(self, data: bytes) -> tuple[float, ...] | None:
        """The numbers, if `data` is exactly one whole STATE message, as it nearly always is."""
        if len(data) == self.state_bytes and data.startswith(self._state_head):
            return self._state.unpack_from(data, _HEADER.size)
        return None

    def decode_state(self, payload: bytes) -> tuple[float, ...]:
        """The numbers of a STATE payload; raises LinkError for a wrong size."""
        if len(payload) != self._state.size:
            raise LinkError("protocol", f"a state has {self._state.size} bytes, not {len(payload)}")
        return self._state.unpack(payload)


def send(sock: socket.socket, data: bytes) -> None:
    """Send all of it; raises LinkError("gone") if the peer is not there."""
    try:
        sock.sendall(data)
    except OSError as error:
        raise LinkError("gone", "the connection to the robot was lost") from error


def receive(sock: socket.socket, reader: FrameReader) -> tuple[Kind, bytes]:
    """The next message, waiting for it; raises LinkError("gone") at the end of the stream."""
    while (message := reader.next()) is None:
        try:
            data = sock.recv(1 << 16)
        except OSError as error:
            raise LinkError("gone", "the connection to the robot was lost") from error
        if not data:
            raise LinkError("gone", "the robot closed the connection")
        reader.feed(data)
    return message
