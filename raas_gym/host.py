"""EnvHost serves any `gymnasium.Env` with Box or Discrete spaces to one client, in real time.

The host owns the clock, the limits and the record; the client only proposes actions (the rules are
in `raas_gym.link`). From the first reset on, every tick is run and reported to `on_tick`, stepped or
not: a client that idles or steps slowly gains nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from raas_gym.adapt import Adapter, adapt
from raas_gym.flat import Floats, encode_space
from raas_gym.link import (
    FRAME_TIMEOUT,
    PROTOCOL,
    Kind,
    LinkError,
    Spec,
    StateCodec,
    decode_json,
    encode_error,
    frame,
)
from raas_gym.plants import PlantError
from raas_gym.port import InterruptedWaitError, Port
from raas_gym.trajectory import Tick

SPIN = 0.0003
"""Seconds before a deadline from which the loop spins: sleeping alone wakes up to 0.1 ms late."""
STALL = 1.0
"""Seconds behind its own deadlines after which a host gives up: it was suspended or starved."""


@dataclass(frozen=True)
class SessionOutcome:
    """How a session ended.

    reason: "left" (the client said goodbye or vanished), "limit", "stopped" (by `EnvHost.stop`),
    "protocol", "version", "robot" (the plant failed), "stalled" or "no_client".
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


class _EndedError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class EnvHost:
    """Serves `env` at `socket_path` for one session. The socket exists once the constructor returns.

    dt              s between ticks; default the environment's own
    horizon         scored ticks, told to the client; default the environment's own
    allowed_uids    user ids that may connect (as this host's kernel sees them); default our own
    reset_options   names of reset options a client may use; none by default, for who chooses the
                    start or the physics chooses the score
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
        reset_options: Collection[str] = (),
        on_tick: Callable[[Tick], None] | None = None,
        max_ticks: int | None = None,
        max_resets: int | None = None,
        hold_ticks: int = 2,
        realtime: bool = True,
        connect_timeout: float | None = None,
        socket_mode: int = 0o666,
    ) -> None:
        self._adapter: Adapter = adapt(env)
        layout = self._adapter.layout
        dt = layout.dt if dt is None else dt
        if not 0.001 <= dt <= 10.0:
            raise ValueError(f"dt is {dt} s; give a tick between 0.001 and 10 seconds")
        self.spec = Spec(
            env_id=env_id or (env.spec.id if env.spec else type(env.unwrapped).__name__),
            robot=robot,
            dt=dt,
            horizon=layout.horizon if horizon is None else horizon,
            action_space=encode_space(env.action_space),
            observation_space=encode_space(env.observation_space),
            columns=layout.observation_columns,
            action_columns=layout.action_columns,
            hold_ticks=hold_ticks,
            realtime=realtime,
            simulated=layout.simulated,
            max_ticks=max_ticks,
            max_resets=max_resets,
            passport=layout.passport,
        )
        frame(Kind.SPEC, self.spec.to_json())  # raises ValueError now if it is too large to send
        self._dt = dt
        self._on_tick, self._connect_timeout = on_tick, connect_timeout
        self._reset_options = frozenset(reset_options)
        self._codec = StateCodec(layout.action_size, layout.observation_size)
        self._patience = dt if realtime else FRAME_TIMEOUT
        self._stop_reason: str | None = None
        self._ticks = self._resets = self._steps = self._missed = 0
        self._worst_lag = 0.0
        # The episode under way: number, its first tick, whether the client stepped in it.
        self._episode, self._first_tick, self._stepped = -1, 0, False
        self._running = False
        self._unannounced: tuple[bool, bool] | None = None
        self._deadline = 0.0
        self._neutral = self._action = self._applied = layout.neutral
        self._observation: Floats = ()
        self._recorded: Floats = ()
        # Since the last STATE that answered a STEP: ticks without an action, reward not yet told.
        self._idle = self._missed_since = 0
        self._owed = 0.0
        self._port = Port(Path(socket_path), socket_mode, allowed_uids or {os.geteuid()})

    def stop(self, reason: str) -> None:
        """End the session, from any thread. The motor is off when this returns, or one tick later."""
        self._stop_reason = reason
        self._adapter.stop()
        self._port.interrupt()

    def serve(self) -> SessionOutcome:
        """Serve one client until it leaves, a limit is reached or `stop` is called. Call once.

        An exception of the environment itself, other than PlantError, is raised after the motor stopped.
        """
        try:
            reason, code, message = self._session()
            self._adapter.stop()
            self._port.dismiss(code, message)
        except Exception as error:
            self._adapter.stop()
            self._port.dismiss(
                "ended", f"the environment failed ({type(error).__name__}); the host's log says more"
            )
            raise
        finally:
            self._adapter.stop()
            self._port.close()
        return SessionOutcome(
            reason=reason,
            message=message,
            ticks=self._ticks,
            episodes=self._episode + 1,
            resets=self._resets,
            steps=self._steps,
            missed_ticks=self._missed,
            worst_lag=self._worst_lag,
        )

    def _session(self) -> tuple[str, str, str]:
        """Run to the end; (reason, the contract's error code, message)."""
        try:
            self._greet()
            while True:
                if self._running and self.spec.realtime:
                    self._run_tick()
                else:
                    self._handle(*self._message(None))
        except _EndedError as end:
            return end.reason, "ended", end.message
        except InterruptedWaitError:
            return "stopped", "ended", self._stop_reason or "the session was stopped"
        except LinkError as error:
            return ("left" if error.code == "gone" else error.code), error.code, error.message
        except PlantError as error:
            return "robot", "ended", str(error)

    def _greet(self) -> None:
        timeout = self._connect_timeout
        if not self._port.accept(None if timeout is None else time.monotonic() + timeout):
            raise _EndedError("no_client", f"no program connected within {timeout:g} s")
        kind, payload = self._message(time.monotonic() + FRAME_TIMEOUT)
        if kind is not Kind.HELLO:
            raise LinkError("protocol", "the first message must be HELLO")
        asked = decode_json(payload).get("protocol")
        if asked != PROTOCOL:
            raise LinkError(
                "version", f"this robot speaks protocol {PROTOCOL}, not {asked}; use the same raas"
            )
        self._port.send(frame(Kind.SPEC, self.spec.to_json()), FRAME_TIMEOUT)

    def _message(self, deadline: float | None) -> tuple[Kind, bytes]:
        message = self._port.next_message(deadline)
        if message is None:
            raise LinkError("protocol", f"no complete message came within {FRAME_TIMEOUT:g} s")
        return message

    def _run_tick(self) -> None:
        """One real-time tick: hold or take an action, wait for the deadline, measure, report."""
        started, self._deadline = self._deadline, self._deadline + self.spec.dt
        if self._idle >= self.spec.hold_ticks:
            self._action = self._neutral
        self._applied = self._adapter.begin(self._action)
        stepped, applied_at = False, 0.0
        while (message := self._port.next_message(self._deadline - SPIN)) is not None:
            kind, payload = message
            if stepped and kind is not Kind.BYE:
                raise _untimely(kind)
            if kind is Kind.STEP:
                self._act(payload)
                stepped, applied_at = True, max(0.0, time.monotonic() - started)
                continue
            self._handle(kind, payload)
            if kind is Kind.RESET:
                return
            if time.monotonic() >= self._deadline:
                break  # a stream of OBSERVE does not hold the clock
        self._keep_time()
        self._end_tick(stepped, applied_at)

    def _keep_time(self) -> None:
        """Spin to the deadline; a host far behind its own clock gives up."""
        while (now := time.monotonic()) < self._deadline:
            pass
        lag = now - self._deadline
        self._worst_lag = max(self._worst_lag, lag)
        if lag > STALL:
            raise _EndedError("stalled", f"the host fell {lag:.1f} s behind its clock; run the job again")

    def _act(self, payload: bytes) -> None:
        self._action = self._codec.decode_action(payload)
        self._applied = self._adapter.begin(self._action)
        self._steps += 1
        self._stepped = True

    def _end_tick(self, stepped: bool, applied_at: float) -> None:
        before = self._recorded
        self._observation, reward, terminated, truncated = self._adapter.finish()
        self._recorded = self._adapter.recorded()
        if self._on_tick is not None:
            t, applied = self._ticks * self._dt, self._applied
            self._on_tick(
                Tick(
                    self._ticks,
                    t,
                    before,
                    self._action,
                    applied,
                    applied_at,
                    reward,
                    not stepped,
                    self._episode,
                )
            )
        self._ticks += 1
        self._owed += reward
        self._running = not (terminated or truncated)
        if stepped:
            self._idle = 0
            self._answer_step(terminated, truncated)
        else:
            self._unannounced = None if self._running else (terminated, truncated)
            self._idle, self._missed, self._missed_since = (
                self._idle + 1,
                self._missed + 1,
                self._missed_since + 1,
            )
        if self.spec.max_ticks is not None and self._ticks >= self.spec.max_ticks:
            raise _EndedError("limit", f"the session's {self.spec.max_ticks} ticks are over")

    def _answer_step(self, terminated: bool, truncated: bool) -> None:
        missed, reward = self._missed_since, self._owed
        self._missed_since, self._owed, self._unannounced = 0, 0.0, None
        self._answer(reward, missed, terminated, truncated)

    def _answer(
        self, reward: float = 0.0, missed: int = 0, terminated: bool = False, truncated: bool = False
    ) -> None:
        t = (self._ticks - self._first_tick) * self._dt
        state = (t, reward, missed, missed > 0, terminated, truncated, *self._applied, *self._observation)
        self._port.send(self._codec.state_frame(*state), self._patience)

    def _handle(self, kind: Kind, payload: bytes) -> None:
        """A message that is not a real-time tick's own step."""
        if kind is Kind.STEP and self._running:
            self._act(payload)
            self._end_tick(True, 0.0)
        elif kind is Kind.RESET:
            self._reset(payload)
        elif kind is Kind.OBSERVE and self._episode >= 0:
            self._answer()
        elif kind is Kind.BYE:
            raise _EndedError("left", "the program closed the environment")
        elif kind is Kind.STEP and self._unannounced:
            # The episode ended in a tick this client missed: it learns so now.
            self._answer_step(*self._unannounced)
        else:
            raise _untimely(kind)

    def _reset(self, payload: bytes) -> None:
        seed, options = _reset_request(payload)
        if self.spec.max_resets is not None and self._resets >= self.spec.max_resets:
            over = f"the session's {self.spec.max_resets} resets are used up; reset less often"
            raise _EndedError("limit", over)
        self._resets += 1
        self._running = False
        refused = self._try_reset(seed, options)
        if self._stop_reason is not None:
            raise InterruptedWaitError
        if refused is not None:
            self._adapter.stop()
            self._port.send(encode_error("option", refused), self._patience)
            return
        if self._episode < 0 or self._stepped:
            self._episode, self._first_tick, self._stepped = self._episode + 1, self._ticks, False
        self._recorded = self._adapter.recorded()
        self._action = self._applied = self._neutral
        self._idle, self._missed_since, self._owed = self.spec.hold_ticks, 0, 0.0
        self._running, self._unannounced = True, None
        self._deadline = time.monotonic()
        self._answer()

    def _try_reset(self, seed: int | None, options: dict[str, Any]) -> str | None:
        """Reset the environment; or say which option it cannot honour."""
        refused = sorted(set(options) - self._reset_options)
        if refused:
            return f"this robot's start is fixed: reset takes no option {refused[0]!r} here"
        try:
            self._observation = self._adapter.reset(seed, options)
        except ValueError as error:
            return str(error)
        return None


def _reset_request(payload: bytes) -> tuple[int | None, dict[str, Any]]:
    request = decode_json(payload)
    seed, options = request.get("seed"), request.get("options", {})
    if not isinstance(options, dict) or not (seed is None or (type(seed) is int and seed >= 0)):
        raise LinkError("protocol", "RESET takes a seed, null or a whole number, and an object of options")
    return seed, options


def _untimely(kind: Kind) -> LinkError:
    return LinkError("protocol", f"{kind.name} came out of turn; reset before step, and wait for each answer")
