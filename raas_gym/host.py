"""EnvHost serves any `gymnasium.Env` with Box or Discrete spaces to one client, in real time.

The host owns the clock, the limits and the record; the client only proposes actions (the rules are
in `raas_gym.link`). From the first reset on, every tick is run and reported to `on_tick`, stepped or
not: a client that idles or steps slowly gains nothing.

An environment with `begin_step` and `end_step` (`PendulumEnv`) gets the action the moment it arrives;
any other is stepped as a whole at the end of the tick.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from raas_gym.adapt import Adapter, adapt
from raas_gym.link import (
    FRAME_TIMEOUT,
    PROTOCOL,
    FrameReader,
    Kind,
    LinkError,
    Spec,
    State,
    StateCodec,
    decode_json,
    encode_error,
    encode_space,
    frame,
)
from raas_gym.plants import PlantError
from raas_gym.trajectory import Tick

SPIN = 0.0003
"""Seconds before a deadline from which the loop spins: sleeping alone wakes up to 0.1 ms late."""
STALL = 1.0
"""Seconds behind its own deadlines after which a host gives up: it was suspended or starved."""
_PEER = struct.Struct("iII")


@dataclass(frozen=True)
class SessionOutcome:
    """How a session ended.

    reason: "left" (the client said goodbye or vanished), "limit", "stopped" (by `EnvHost.stop`),
    "protocol", "version", "robot" (the environment failed), "stalled" or "no_client".
    steps: actions received; missed_ticks: ticks no action reached; worst_lag: s, the host's own.
    """

    reason: str
    message: str
    ticks: int = 0
    episodes: int = 0
    resets: int = 0
    steps: int = 0
    missed_ticks: int = 0
    worst_lag: float = 0.0


class _Ended(Exception):  # noqa: N818 - it ends a session, well or badly
    def __init__(self, reason: str, message: str, code: str = "ended") -> None:
        super().__init__(message)
        self.reason, self.message, self.code = reason, message, code


class EnvHost:
    """Serves `env` at `socket_path` for one session. The socket exists once the constructor returns.

    dt              s between ticks; default the environment's own `dt`
    allowed_uids    user ids that may connect (as this host sees them); default our own
    on_tick         called with every `Tick`, on the serving thread, before the client is answered
    max_ticks       ends the session ("limit"); None: no limit
    max_resets      likewise, counted over the whole session
    hold_ticks      ticks a missing action is replaced by the last one; then by the neutral one
    realtime        False: the clock waits for the client
    connect_timeout s to wait for a client; None: for ever
    socket_mode     permissions of the socket; the session's own directory is what keeps others out

    The environment stays the caller's: the host stops its motor, but never closes it.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        socket_path: str | Path,
        *,
        env_id: str | None = None,
        robot: str = "simulation",
        dt: float | None = None,
        horizon: int | None = None,
        allowed_uids: Collection[int] | None = None,
        on_tick: Callable[[Tick], None] | None = None,
        max_ticks: int | None = None,
        max_resets: int | None = None,
        hold_ticks: int = 2,
        realtime: bool = True,
        connect_timeout: float | None = None,
        socket_mode: int = 0o666,
    ) -> None:
        self._adapter: Adapter = adapt(env)
        dt = dt if dt is not None else self._adapter.dt
        if not 0.001 <= dt <= 10.0:
            raise ValueError(f"dt is {dt} s; give a tick between 0.001 and 10 seconds")
        self.spec = Spec(
            env_id=env_id or (env.spec.id if env.spec else type(env.unwrapped).__name__),
            robot=robot,
            dt=dt,
            horizon=horizon if horizon is not None else self._adapter.horizon,
            action_space=encode_space(env.action_space),
            observation_space=encode_space(env.observation_space),
            columns=self._adapter.observation_columns,
            action_columns=self._adapter.action_columns,
            hold_ticks=hold_ticks,
            realtime=realtime,
            simulated=self._adapter.simulated,
            max_ticks=max_ticks,
            max_resets=max_resets,
            passport=self._adapter.passport,
        )
        self._allowed = frozenset({os.geteuid()} if allowed_uids is None else allowed_uids)
        self._on_tick = on_tick
        self._connect_timeout = connect_timeout
        self._codec = StateCodec(self._adapter.action_size, self._adapter.observation_size)
        self._reader = FrameReader()
        self._client: socket.socket | None = None
        self._stop_reason: str | None = None
        self._ticks = self._resets = self._steps = self._missed = 0
        self._episode = -1
        self._episode_start = 0
        self._stepped = False
        self._running = False
        self._unannounced: tuple[bool, bool] | None = None
        self._partial_since = 0.0
        self._lag = 0.0
        self._path = Path(socket_path)
        self._woken, self._waker = socket.socketpair()
        self._listener = _listen(self._path, socket_mode)

    def stop(self, reason: str) -> None:
        """End the session from any thread; the motor is off when this returns or one tick later."""
        self._stop_reason = reason
        self._adapter.stop()
        with suppress(OSError):  # serve() is already over
            self._waker.send(b"x")

    def serve(self) -> SessionOutcome:
        """Serve one client until it leaves, a limit is reached or `stop` is called. Call once."""
        try:
            self._accept()
            self._greet()
            self._run()
        except _Ended as end:
            self._farewell(end.code, end.message)
            return self._outcome(end.reason, end.message)
        except LinkError as error:
            self._farewell(error.code, error.message)
            return self._outcome("left" if error.code == "gone" else error.code, error.message)
        except PlantError as error:
            self._farewell("ended", str(error))
            return self._outcome("robot", str(error))
        except Exception as error:
            self._farewell("ended", f"the environment failed: {error}")
            raise
        finally:
            self._adapter.stop()
            self._close()

    # --- the client's arrival

    def _accept(self) -> None:
        deadline = None if self._connect_timeout is None else time.monotonic() + self._connect_timeout
        while self._client is None:
            self._wait(deadline)
            if deadline is not None and self._client is None and time.monotonic() >= deadline:
                raise _Ended("no_client", f"no program connected within {self._connect_timeout:g} s")

    def _admit(self) -> None:
        """Take the waiting connection as our client, or send it away."""
        peer, _ = self._listener.accept()
        uid = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
        if uid not in self._allowed:
            _dismiss(peer, "forbidden", f"user {uid} may not use this robot's session")
        elif self._client is not None:
            _dismiss(peer, "busy", "another client has this robot; use one environment per job, and reset it")
        else:
            peer.setblocking(False)
            self._client = peer

    def _greet(self) -> None:
        kind, payload = self._message(time.monotonic() + FRAME_TIMEOUT)
        if kind is not Kind.HELLO:
            raise LinkError("protocol", "the first message must be HELLO")
        asked = decode_json(payload).get("protocol")
        if asked != PROTOCOL:
            raise LinkError("version", f"this robot speaks protocol {PROTOCOL}, not {asked}; install the matching raas")
        self._send(frame(Kind.SPEC, self.spec.to_json()))

    # --- the session

    def _run(self) -> None:
        while True:
            if self._running and self.spec.realtime:
                self._tick()
            else:
                self._handle(*self._message(None))

    def _tick(self) -> None:
        """Run one tick: hold the last action or take a new one, wait for the deadline, measure, report."""
        started = self._deadline
        self._deadline = started + self.spec.dt
        self._begin_tick()
        stepped, applied_at = False, 0.0
        while (message := self._next_message(self._deadline - SPIN)) is not None:
            kind, payload = message
            if kind is Kind.STEP and not stepped:
                self._act(self._codec.decode_action(payload))
                stepped, applied_at = True, max(0.0, time.monotonic() - started)
                continue
            if stepped and kind is not Kind.BYE:
                raise _untimely(kind)
            self._handle(kind, payload)
            if kind is Kind.RESET:
                return
            if time.monotonic() >= self._deadline:
                break  # a stream of OBSERVE does not hold the clock
        while (now := time.monotonic()) < self._deadline:
            pass
        self._lag = max(self._lag, now - self._deadline)
        if now - self._deadline > STALL:
            raise _Ended("stalled", f"the host fell {now - self._deadline:.1f} s behind its clock; the run is void")
        self._end_tick(stepped, applied_at)

    def _begin_tick(self) -> None:
        """What the robot does unless an action arrives."""
        if self._idle >= self.spec.hold_ticks:
            self._action = self._adapter.neutral
        self._applied = self._adapter.begin(self._action)

    def _act(self, action: tuple[float, ...]) -> None:
        self._action = action
        self._applied = self._adapter.begin(action)
        self._steps += 1
        self._stepped = True

    def _end_tick(self, stepped: bool, applied_at: float) -> None:
        observed = self._recorded
        observation, reward, terminated, truncated = self._adapter.finish()
        self._recorded = self._adapter.recorded()
        tick = Tick(
            tick=self._ticks,
            t=self._ticks * self.spec.dt,
            observation=observed,
            action=self._action,
            applied=self._applied,
            applied_at=applied_at,
            reward=reward,
            late=not stepped,
            episode=self._episode,
        )
        self._ticks += 1
        self._owed += reward
        self._observation = observation
        if self._on_tick is not None:
            self._on_tick(tick)
        self._running = not (terminated or truncated)
        self._unannounced = None if self._running or stepped else (terminated, truncated)
        if stepped:
            self._idle = 0
            self._answer(terminated, truncated)
        else:
            self._idle += 1
            self._missed += 1
            self._missed_since += 1
        if self.spec.max_ticks is not None and self._ticks >= self.spec.max_ticks:
            raise _Ended("limit", f"the session's {self.spec.max_ticks} ticks are over")

    def _answer(self, terminated: bool, truncated: bool) -> None:
        missed, reward = self._missed_since, self._owed
        self._missed_since, self._owed = 0, 0.0
        self._state(reward, missed, terminated, truncated)

    def _state(self, reward: float, missed: int, terminated: bool, truncated: bool) -> None:
        t = (self._ticks - self._episode_start) * self.spec.dt
        state = State(t, reward, missed, missed > 0, terminated, truncated, self._applied, self._observation)
        self._send(self._codec.state_frame(state))

    def _handle(self, kind: Kind, payload: bytes) -> None:
        """A message outside a real-time tick's own step."""
        if kind is Kind.RESET:
            self._reset(payload)
        elif kind is Kind.BYE:
            raise _Ended("left", "the program closed the environment")
        elif kind is Kind.OBSERVE and self._episode >= 0:
            self._state(0.0, 0, False, False)
        elif kind is Kind.STEP and self._running:
            self._act(self._codec.decode_action(payload))
            self._end_tick(True, 0.0)
        elif kind is Kind.STEP and self._unannounced:
            # The episode ended in a tick this client missed: it learns so now.
            self._answer(*self._unannounced)
            self._unannounced = None
        else:
            raise _untimely(kind)

    def _reset(self, payload: bytes) -> None:
        request = decode_json(payload)
        seed, options = request.get("seed"), request.get("options") or {}
        if not isinstance(options, dict) or not (seed is None or (type(seed) is int and seed >= 0)):
            raise LinkError("protocol", "RESET takes a seed that is null or a whole number, and an object of options")
        if self.spec.max_resets is not None and self._resets >= self.spec.max_resets:
            raise _Ended("limit", f"the session's {self.spec.max_resets} resets are used up")
        self._resets += 1
        try:
            self._observation = self._adapter.reset(seed, options)
        except ValueError as error:
            self._adapter.stop()
            self._running = False
            self._send(encode_error("option", str(error)))
            return
        if self._stop_reason is not None:
            raise _Ended("stopped", self._stop_reason)
        if self._episode < 0 or self._stepped:
            self._episode += 1
            self._episode_start = self._ticks
            self._stepped = False
        self._recorded = self._adapter.recorded()
        self._action = self._applied = self._adapter.neutral
        self._idle, self._missed_since, self._owed = self.spec.hold_ticks, 0, 0.0
        self._running, self._unannounced = True, None
        self._deadline = time.monotonic()
        self._state(0.0, 0, False, False)

    # --- the socket

    def _message(self, deadline: float | None) -> tuple[Kind, bytes]:
        message = self._next_message(deadline)
        if message is None:
            raise LinkError("protocol", f"no complete message came within {FRAME_TIMEOUT:g} s")
        return message

    def _next_message(self, deadline: float | None) -> tuple[Kind, bytes] | None:
        """The client's next message, or None at the deadline."""
        while (message := self._reader.next()) is None:
            hung = self._partial_since + FRAME_TIMEOUT if self._reader.partial else None
            if hung is not None and time.monotonic() >= hung:
                raise LinkError("protocol", f"a message was not completed within {FRAME_TIMEOUT:g} s")
            limits = [limit for limit in (deadline, hung) if limit is not None]
            if not self._wait(min(limits) if limits else None) and deadline is not None:
                if time.monotonic() >= deadline:
                    return None
        return message

    def _wait(self, deadline: float | None) -> bool:
        """Wait for anything to happen until the deadline; True if the client sent something."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        watched: list[socket.socket] = [self._listener, self._woken]
        if self._client is not None:
            watched.append(self._client)
        ready, _, _ = select.select(watched, (), (), timeout)
        if self._woken in ready:
            raise _Ended("stopped", self._stop_reason or "the session was stopped")
        if self._listener in ready:
            self._admit()
        if self._client is None or self._client not in ready:
            return False
        return self._take()

    def _take(self) -> bool:
        assert self._client is not None  # noqa: S101 - only called for a connected client
        if not self._reader.partial:
            self._partial_since = time.monotonic()
        try:
            data = self._client.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LinkError("gone", "the program's connection broke") from error
        if not data:
            raise LinkError("gone", "the program closed its connection")
        self._reader.feed(data)
        return True

    def _send(self, data: bytes) -> None:
        """Send to the client, which must take it within a tick: the clock waits for nobody."""
        client = self._client
        assert client is not None  # noqa: S101 - only called for a connected client
        patience = time.monotonic() + (self.spec.dt if self.spec.realtime else FRAME_TIMEOUT)
        view = memoryview(data)
        try:
            while view:
                with suppress(BlockingIOError):
                    view = view[client.send(view) :]
                    continue
                if not select.select((), [client], (), max(0.0, patience - time.monotonic()))[1]:
                    raise LinkError("protocol", "the program does not read its answers")
        except OSError as error:
            raise LinkError("gone", "the program's connection broke") from error

    def _farewell(self, code: str, message: str) -> None:
        self._adapter.stop()
        if self._client is not None and code != "gone":
            with suppress(OSError):
                self._client.send(encode_error(code, message))

    def _close(self) -> None:
        for one in (self._client, self._listener, self._woken, self._waker):
            if one is not None:
                one.close()
        self._path.unlink(missing_ok=True)

    def _outcome(self, reason: str, message: str) -> SessionOutcome:
        return SessionOutcome(
            reason=reason,
            message=message,
            ticks=self._ticks,
            episodes=self._episode + 1,
            resets=self._resets,
            steps=self._steps,
            missed_ticks=self._missed,
            worst_lag=self._lag,
        )


def _untimely(kind: Kind) -> LinkError:
    return LinkError("protocol", f"{kind.name} came out of turn; reset before step, and wait for each answer")


def _listen(path: Path, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(4)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot serve at {path}: {error}; use a new, short path in a directory of its own") from error
    listener.setblocking(False)
    return listener


def _dismiss(peer: socket.socket, code: str, message: str) -> None:
    with suppress(OSError):
        peer.setblocking(False)
        peer.send(encode_error(code, message))
    peer.close()
