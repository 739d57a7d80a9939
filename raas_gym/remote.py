"""RemoteEnv: the robot (or any hosted environment), seen from inside the container.

`gymnasium.make("RaasPendulum-v1")` returns one by itself when `RAAS_STEP_SOCKET` names a session's
socket, so the same program runs in simulation at home and on the robot here.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from numpy.typing import NDArray

from raas_gym.env import PendulumEnv
from raas_gym.flat import decode_space, flatten, space_size, unflatten
from raas_gym.link import (
    PROTOCOL,
    SOCKET_VARIABLE,
    FrameReader,
    Kind,
    LinkError,
    Spec,
    State,
    StateCodec,
    decode_error,
    frame,
    look,
    receive,
    send,
)
from raas_gym.render import draw
from raas_gym.version import __version__

PATIENCE = 120
"""Seconds without an answer after which a robot is taken for hung; a reset on hardware may take 30."""


class SessionError(RuntimeError):
    """The robot's session cannot start or is over; the message says why and what to do."""


class RemoteEnv(gymnasium.Env[Any, Any]):
    """A hosted environment over the step socket (default: the one `RAAS_STEP_SOCKET` names).

    `step` returns when the robot's tick ends. `info` carries `t` (s since reset), `applied` (the action
    after limits: a float if it is a single number), `late` and `missed_ticks` (ticks since the previous
    step that no action reached; their rewards are in this step's).
    """

    metadata: dict[str, Any] = {"render_modes": [], "render_fps": 20}  # noqa: RUF012 - Gymnasium's own declaration
    hardware = True

    def __init__(self, socket_path: str | None = None, *, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._reader = FrameReader()
        self._eager = False
        self._socket: socket.socket | None = _connect(socket_path)
        try:
            self.robot = self._hello()
            self.action_space = decode_space(self.robot.action_space)
            self.observation_space = decode_space(self.robot.observation_space)
        except ValueError as error:
            self._drop()
            raise SessionError(f"{error}; the robot may be newer than this raas: update it") from error
        except BaseException:
            self._drop()
            raise
        self.dt = self.robot.dt
        # Without a clock to wait for, an answer is there sooner than a sleeping process wakes.
        self._eager = not self.robot.realtime
        self._action_size = space_size(self.action_space)
        self._codec = StateCodec(self._action_size, space_size(self.observation_space))
        self._ready = False
        self._latest: State | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Bring the robot to its start; hardware takes as long as the pendulum needs to come to rest."""
        super().reset(seed=seed)
        try:
            request = json.dumps({"seed": seed, "options": self._options(options or {})}).encode()
        except TypeError as error:
            raise ValueError(f"reset options must be plain numbers, strings and lists ({error})") from error
        self._ready = False
        state = self._ask(frame(Kind.RESET, request))
        self._ready = True
        return unflatten(self.observation_space, state.observation), self._info(state)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Propose an action; returns when the tick ends. The robot limits a Box action out of range."""
        if not self._ready:
            self._connected()
            raise ResetNeeded("call reset() before step()")
        state = self._ask(self._codec.step_frame(self._checked(action)))
        self._ready = not (state.terminated or state.truncated)
        observation = unflatten(self.observation_space, state.observation)
        return observation, state.reward, state.terminated, state.truncated, self._info(state)

    def observe(self) -> Any:
        """The latest observation, without waiting for a tick."""
        return unflatten(self.observation_space, self._ask(frame(Kind.OBSERVE)).observation)

    def close(self) -> None:
        """Leave the session; the motor goes off."""
        if self._socket is not None:
            with suppress(LinkError):  # it is over already
                send(self._socket, frame(Kind.BYE))
            self._drop()

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(options)

    def _hello(self) -> Spec:
        hello = json.dumps({"protocol": PROTOCOL, "client": f"raas_gym {__version__}"}).encode()
        kind, payload = self._exchange(frame(Kind.HELLO, hello))
        if kind is not Kind.SPEC:
            raise SessionError(
                f"the robot answered HELLO with {kind.name}; is this another program's socket?"
            )
        robot = Spec.from_json(payload)
        if robot.protocol != PROTOCOL:
            raise SessionError(
                f"this robot speaks protocol {robot.protocol}, not {PROTOCOL}; install the matching raas"
            )
        return robot

    def _ask(self, message: bytes) -> State:
        kind, payload = self._exchange(message)
        if kind is not Kind.STATE:
            self._drop()
            raise SessionError(f"the robot answered with {kind.name} out of turn; the session is over")
        self._latest = self._codec.decode_state(payload)
        return self._latest

    def _exchange(self, message: bytes) -> tuple[Kind, bytes]:
        """Send one message and wait for its answer."""
        sock = self._connected()
        try:
            with suppress(LinkError):  # the reason may still be waiting to be read
                send(sock, message)
            if self._eager and (data := look(sock)):
                self._reader.feed(data)
            kind, payload = receive(sock, self._reader)
        except LinkError as error:
            self._drop()
            raise SessionError(f"the robot's session is over: {error.message}") from error
        except BaseException:
            # Interrupted between question and answer: the next answer would be that of this question.
            self._drop()
            raise
        if kind is Kind.ERROR:
            self._refused(decode_error(payload))
        return kind, payload

    def _refused(self, error: LinkError) -> None:
        if error.code == "option":
            raise ValueError(error.message)
        self._drop()
        raise SessionError(f"the robot's session is over ({error.code}): {error.message}")

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise ClosedEnvironmentError(
                "this environment was closed or its session is over; a job has one session"
            )
        return self._socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._ready = False

    def _checked(self, action: Any) -> Sequence[float]:
        try:
            values = action.ravel().tolist() if isinstance(action, np.ndarray) else flatten(action)
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"the action must be numbers, not {action!r}") from error
        if len(values) != self._action_size:
            raise InvalidAction(f"the action must have {self._action_size} numbers, not {len(values)}")
        if not all(map(math.isfinite, values)):
            raise InvalidAction(f"the action is {action!r}; give finite numbers")
        space = self.action_space
        if isinstance(space, spaces.Discrete) and not space.contains(np.int64(values[0])):
            raise InvalidAction(f"the action is {action!r}; choose from {space}")
        return values

    def _info(self, state: State) -> dict[str, Any]:
        if self._action_size == 1:
            applied: Any = state.applied[0]
        else:
            applied = unflatten(self.action_space, state.applied)
        return {"t": state.t, "applied": applied, "late": state.late, "missed_ticks": state.missed_ticks}


class RemotePendulumEnv(RemoteEnv):
    """The robot behind `RaasPendulum-v1`: takes what a simulation takes, so that a program needs no change.

    `randomize` and `params` among the reset options describe a simulation and are left out. "rgb_array"
    renders a drawing of what was measured; "human" shows nothing, for a job has no screen.
    """

    metadata: dict[str, Any] = PendulumEnv.metadata

    def render(self) -> NDArray[np.uint8] | None:
        """A frame (500, 500, 3) for "rgb_array", else None."""
        if self.render_mode != "rgb_array" or self._latest is None:
            return None
        cosine, sine, _ = self._latest.observation
        return draw(math.atan2(sine, cosine), self._latest.applied[0])

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name not in ("randomize", "params")}


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
        raise SessionError(
            f"no robot answers at {path} ({error.strerror or error}); the job's one session may be over"
        ) from error
    return sock
