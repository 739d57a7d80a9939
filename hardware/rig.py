"""A simulated rig behind simulated pins: PWM duty and direction in, quadrature edges out, in real time.

The rig has no thread: whoever touches a pin brings it up to the clock's time first, in steps of 1 ms of the
measured dynamics with the raw motor, so that edges carry the times at which the shaft crossed their
boundaries. With a `VirtualClock` minutes pass in seconds. Faults can be switched on at any time.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from hardware.claims import PinClaims
from hardware.encoder import Edge, QuadratureDecoder
from hardware.pins import Counter, Levels, Pwm
from hardware.wires import Wires
from raas_gym.dynamics import RAW_MOTOR, TURN, PendulumParams, State, make_drive, make_step

STEP_S = 0.001
COUNTS_PER_TURN = 464.64
ACTION_PER_DUTY = 4.0
"""Full action (2) is 50 % duty."""

_LEVELS = [(0, 0), (1, 0), (1, 1), (0, 1)]
_PHASE_ERROR = (0.0, 0.08, -0.03, -0.06)
"""How far the four boundaries of a quadrature turn are from even, in counts: no encoder is perfect."""


class Clock:
    """The real, monotonic clock."""

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep_until(self, t: float) -> None:
        """Return at time `t`, at once where it has passed."""
        time.sleep(max(0.0, t - time.monotonic()))


class VirtualClock(Clock):
    """A clock that jumps to wherever somebody waits for; for one thread."""

    def __init__(self) -> None:
        self._now = 1000.0

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep_until(self, t: float) -> None:
        """Jump."""
        self._now = max(self._now, t)


@dataclass
class Faults:
    """What can be wrong with a rig; change any of it while it runs.

    Attributes:
        lost_edges: Share of edges that never arrive.
        stuck: The shaft does not move.
        dead_b: Channel B's wire is broken.
        reversed: The motor's wires are swapped.
        slip: Share of the shaft's motion that the flange on it does not follow.
        brown_out: Share of the supply that is missing; 1: emergency stop pressed.
        free_current: Drive [action] that flows without any command.
    """

    lost_edges: float = 0.0
    stuck: bool = False
    dead_b: bool = False
    reversed: bool = False
    slip: float = 0.0
    brown_out: float = 0.0
    free_current: float = 0.0


class Rig:
    """The pendulum, its motor, L298N and encoder.

    Args:
        params: The physics; `dt`, `delay` and the encoder's fields are replaced by the rig's own.
        clock: What time it is.
        enabled: Reads the enable line.
        noise: Standard deviation of the disturbance [rad/s²], white at 1 ms (grease, cogging, draught).
        seed: Of noise and lost edges.
    """

    def __init__(
        self,
        params: PendulumParams = RAW_MOTOR,
        clock: Clock | None = None,
        enabled: Callable[[], bool] = lambda: True,
        noise: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.params = params
        self.clock = clock or Clock()
        self.faults = Faults()
        self._enabled = enabled
        self._noise = noise * STEP_S
        self._random = random.Random(seed)  # noqa: S311 - a simulation's noise
        exact = replace(params, dt=STEP_S, substeps=1, delay=0.0, encoder_count=0.0, velocity_window=STEP_S)
        self._step, self._drive = make_step(exact), make_drive(params)
        rest = params.coulomb / params.gravity
        self._state: State = (math.pi + self._random.uniform(-rest, rest), 0.0, math.pi, 0.0)
        self._delayed = deque([0.0] * round(params.delay / STEP_S))
        self._duty = {1: 0.0, -1: 0.0}
        self._time = self._since = self.clock.now()
        self._impulse = 0.0
        self._position = self._counts()
        self._count = math.floor(self._position + 0.5)
        self._decoder = QuadratureDecoder(*_LEVELS[self._count % 4])
        self._edges: list[Edge] = []
        self._lock = threading.Lock()

    @property
    def truth(self) -> tuple[float, float]:
        """The true θ [rad, unwrapped] and θ̇ [rad/s], now."""
        with self._lock:
            self._advance()
            return self._state[0], self._state[1]

    @property
    def powered(self) -> bool:
        """What the 12 V sense says."""
        return self.faults.brown_out < 0.5

    @property
    def illegal(self) -> int:
        """Impossible transitions that the decoder saw."""
        return self._decoder.illegal

    def duty(self, direction: int, share: float) -> None:
        """Set the duty of the forward (+1) or backward (−1) input."""
        with self._lock:
            self._advance()
            self._duty[direction] = share

    def push(self, theta_dot: float) -> None:
        """A hand gives the rod this velocity [rad/s]."""
        with self._lock:
            self._advance()
            theta, _, opened, drive = self._state
            self._state = theta, theta_dot, opened, drive

    def drain(self) -> list[Edge]:
        """The edges since the last call."""
        with self._lock:
            self._advance()
            edges, self._edges = self._edges, []
            return edges

    def _advance(self) -> None:
        """Bring the shaft up to now. The drive was the same since the last call: every change calls first."""
        now, drive = self.clock.now(), self._drive_now()
        while (end := self._time + STEP_S) <= now:
            self._impulse += drive * (end - self._since)
            self._delayed.append(self._impulse / STEP_S)
            self._impulse, self._since = 0.0, end
            self._move(self._delayed.popleft())
        self._impulse += drive * (now - self._since)
        self._since = now

    def _drive_now(self) -> float:
        """The drive [action] behind bridge and dead zone."""
        if not self._enabled() or not self.powered:
            return 0.0
        action = ACTION_PER_DUTY * (self._duty[1] - self._duty[-1]) * (1.0 - self.faults.brown_out)
        drive = (self._drive(action) if self._drive else action) + self.faults.free_current
        return -drive if self.faults.reversed else drive

    def _move(self, drive: float) -> None:
        started = self._time
        self._time += STEP_S
        if self.faults.stuck:
            return
        theta, v, opened, old = self._state
        if v:
            v += self._random.gauss(0.0, self._noise)
        self._state = self._step((theta, v, opened, old), drive)
        before, self._position = self._position, self._counts(self._position, theta)
        while (n := math.floor(self._position + 0.5)) != self._count:
            step = 1 if n > self._count else -1
            boundary = self._count + 0.5 * step
            share = (boundary - before) / (self._position - before)
            self._cross(started + STEP_S * min(1.0, max(0.0, share)), step)

    def _counts(self, before: float | None = None, theta_before: float = 0.0) -> float:
        """The encoder's position in counts; a slipping flange leaves a part of each motion out."""
        if before is None:
            return (self._state[0] - math.pi) * COUNTS_PER_TURN / TURN
        moved = (self._state[0] - theta_before) * COUNTS_PER_TURN / TURN
        return before + moved * (1.0 - self.faults.slip)

    def _cross(self, t: float, step: int) -> None:
        self._count += step
        # Uneven boundaries shift an edge's time; the order of edges stays.
        speed = max(abs(self._state[1]) * COUNTS_PER_TURN / TURN, 20.0)
        t += _PHASE_ERROR[self._count % 4 if step > 0 else (self._count + 1) % 4] * step / speed
        if self._random.random() < self.faults.lost_edges:
            return
        a, b = _LEVELS[self._count % 4]
        if seen := self._decoder.feed(a, 0 if self.faults.dead_b else b):
            self._edges.append(Edge(max(t, self._edges[-1].t) if self._edges else t, seen))


class SimulatedPins:
    """The rig's pins. `levels` has those of plain outputs, and of PWM pins whether they pulse."""

    backend = "simulated pins, a simulated rig behind them"

    def __init__(self, rig: Rig, levels: Levels, wires: Wires, claims: PinClaims | None = None) -> None:
        self._rig = rig
        self._levels = levels
        self._claims = claims or PinClaims(None)
        self._directions = {wires.in1: 1, wires.in2: -1}
        self._outputs: list[int] = []

    def pwm(self, pin: int) -> Pwm:
        """The motor's inputs; any other pin is not wired to anything."""
        self._claims.take(pin)
        self._outputs.append(pin)
        return _RigPwm(self._rig, self._directions[pin], self._levels, pin)

    def output(self, pin: int) -> Callable[[bool], None]:
        """An output, low at first."""
        self._claims.take(pin)
        self._outputs.append(pin)
        self._levels[pin] = False

        def write(high: bool) -> None:
            self._levels[pin] = high

        return write

    def input(self, pin: int) -> Callable[[], bool]:
        """The 12 V sense."""
        self._claims.take(pin)
        return lambda: self._rig.powered

    def counter(self, a: int, b: int) -> Counter:
        """The rig's encoder."""
        for pin in (a, b):
            self._claims.take(pin)
        return self._rig

    def lower(self, pin: int) -> None:
        """Low, and free again."""
        self.output(pin)
        self._outputs.remove(pin)
        self._claims.give(pin)

    def close(self) -> None:
        """Everything low and free."""
        for direction in (1, -1):
            self._rig.duty(direction, 0.0)
        for pin in self._outputs:
            self._levels[pin] = False
        self._claims.close()


class _RigPwm:
    def __init__(self, rig: Rig, direction: int, levels: Levels, pin: int) -> None:
        self._rig, self._direction, self._levels, self._pin = rig, direction, levels, pin

    def duty(self, share: float) -> None:
        self._rig.duty(self._direction, share)
        self._levels[self._pin] = share > 0.0
