"""HardwarePlant: motor, encoder and safety as one `raas_gym.plants.Plant`.

Two threads meet here. The control loop (one thread) calls `reset`, `apply` and `measure`. A supervisor of
our own wakes every 10 ms: it stops the motor when the control loop falls silent, reads the 12 V sense, and
beats the guardian, which alone lets the motor have current. The supervisor beats only while all is well, so
whatever stops it, stops the motor.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardware import realtime
from hardware.encoder import Edge, Encoder
from hardware.errors import HardwareError
from hardware.heartbeat import ARMED, PERIOD_S, TRIPPED, GuardianLink
from hardware.motor import Motor
from hardware.passport import Passport
from hardware.pins import Pins
from hardware.rig import Clock
from hardware.safety import Limits, Motion, Safety
from hardware.wires import Wires
from raas_gym.dynamics import MAX_SPEED, TURN, PendulumParams, wrapped
from raas_gym.plants import Measurement, PlantError

log = logging.getLogger(__name__)

REST_ANGLE = math.radians(4.0)
REST_QUIET_S = 0.5
REST_LIMIT_S = 15.0
DAMPING_PERIOD_S = 0.01
DAMPING_GAIN = 0.6
"""Action per rad/s while braking the swing."""
ARM_LIMIT_S = 0.5


@dataclass(frozen=True)
class Parts:
    """What a plant is made of; `guardian` is its socket, None where the rig has no enable line."""

    pins: Pins
    wires: Wires
    clock: Clock
    guardian: Path | None = None


@dataclass
class MotionRecorder:
    """What calibration needs: edges, and every commanded duty (signed) with its time."""

    edges: list[Edge] = field(default_factory=list)
    duties: list[tuple[float, float]] = field(default_factory=list)


class HardwarePlant:
    """The pendulum on its pins.

    Args:
        parts: Pins, wires, clock, guardian.
        passport: The calibration in force.
        params: What the environment is told of the physics; carries the control period.
        limits: The safety limits.
        simulated: Whether the pins are a rig's.
    """

    def __init__(
        self, parts: Parts, passport: Passport, params: PendulumParams, *, limits: Limits, simulated: bool
    ) -> None:
        self.params = params
        self.simulated = simulated
        self.passport: Mapping[str, Any] = passport.public(params.dt)
        self.zero = passport.zero_counts
        """The count at which the rod hangs; homing sets it."""
        self.safety = Safety(limits, params)
        pins, wires = parts.pins, parts.wires
        self.clock = parts.clock
        self.motor = Motor(pins.pwm(wires.in1), pins.pwm(wires.in2), passport.dead_zone)
        self._powered = pins.input(wires.stop)
        self.counter = pins.counter(wires.encoder_a, wires.encoder_b)
        self._radians = TURN / passport.counts_per_turn
        self.encoder = Encoder()
        self._pins = pins
        self._enable = wires.enable
        self._guardian_path = parts.guardian
        self._guardian: GuardianLink | None = None
        self.recorder: MotionRecorder | None = None
        """Who collects edges and duties, for calibration; None: nobody."""
        self._watched_from = self.clock.now()
        self._reading = threading.Lock()
        self._lock = threading.Lock()
        self._armed = self._asked = self._current = False
        self._command_at = 0.0
        self._stopped = threading.Event()
        self._closed = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def use(self, passport: Passport, params: PendulumParams) -> None:
        """Put a new passport in force; its zero is in this plant's counts."""
        with self._lock:
            self.params = params
            self.passport = passport.public(params.dt)
            self.zero = passport.zero_counts
            self.motor.dead_zone = passport.dead_zone
            self.safety = Safety(self.safety.limits, params)

    # --- the control loop's calls

    def reset(self, seed: int | None, options: Mapping[str, Any]) -> Measurement:
        """Brake the swing, wait until it hangs at rest.

        Raises:
            ValueError: `options` ask for anything else.
            PlantError: It does not come to rest, the guardian does not arm, or a limit tripped.
        """
        if options:
            raise ValueError(
                f"hardware takes no reset option {sorted(options)[0]!r}: it starts hanging at rest"
            )
        self.arm()
        self.rest()
        return self.measure()

    def apply(self, torque: float) -> float:
        """Command a torque; returns what passed the limits.

        Raises:
            PlantError: A hard limit tripped; the motor is off.
        """
        motion = self.motion()
        with self._lock:
            self._check()
            admitted = self.safety.admit(torque, motion)
            self._check()
            duty = self.motor.drive(admitted if self._armed else 0.0)
            self._command_at = self.clock.now()
            if self.recorder is not None:
                self.recorder.duties.append((self._command_at, duty))
        return admitted

    def advance(self) -> None:
        """Time passes by itself."""

    def measure(self) -> Measurement:
        """θ [rad, unwrapped, 0 upright] and θ̇ [rad/s, within ±20]."""
        motion = self.motion()
        return Measurement(motion.theta, max(-MAX_SPEED, min(MAX_SPEED, motion.theta_dot)))

    def motion(self) -> Motion:
        """Read the encoder, now."""
        with self._reading:
            now = self.clock.now()
            edges = self.counter.drain()
            self.encoder.feed(edges)
            if self.recorder is not None:
                self.recorder.edges += edges
            theta = math.pi + (self.encoder.count - self.zero) * self._radians
            theta_dot = self.encoder.velocity(now).estimate * self._radians
            return Motion(now, theta, theta_dot, self.encoder.last_edge_at)

    # --- from any thread

    def stop(self) -> None:
        """Motor off, enable line down; ends a `reset` under way."""
        with self._lock:
            self._armed = False
            self.motor.off()
        self._stopped.set()

    def close(self) -> None:
        """Motor off; pins free."""
        if self._closed.is_set():
            return
        self.stop()
        self._closed.set()
        self._supervisor.join()
        self._pins.close()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called since it was armed."""
        return self._stopped.is_set()

    def clear(self) -> None:
        """Forget a trip: somebody had a look."""
        with self._lock:
            self.safety.clear()

    def fault(self) -> str | None:
        """Why the robot is not fit to run, or None."""
        if not self._powered():
            return "the motor has no 12 V: emergency stop, fuse, supply"
        guardian = self._guardian
        if self._guardian_path is not None and not (guardian is not None and guardian.answered):
            return f"no guardian answers at {self._guardian_path}: start raas-guardian"
        if self.safety.tripped is not None:
            return f"{self.safety.tripped}; `raas-controller selftest` clears this when it passes"
        return None

    def arm(self) -> None:
        """Ask the guardian for current and wait for it.

        Raises:
            PlantError: It does not come.
        """
        self._stopped.clear()
        with self._lock:
            self.safety.forget_motion()
            self._check()
            self._command_at = self.clock.now()
            self._armed, self._current = True, False
        deadline = self.clock.now() + ARM_LIMIT_S
        while self._guardian_path is not None and not self._has_current():
            self._check()
            if self.clock.now() > deadline:
                self.stop()
                raise PlantError(
                    f"the guardian at {self._guardian_path} gives the motor no current: see its log"
                )
            self.clock.sleep_until(self.clock.now() + 0.002)

    def _has_current(self) -> bool:
        return self._current

    def _check(self) -> None:
        if self.safety.tripped is not None:
            self.motor.off()
            raise PlantError(self.safety.tripped)

    def rest(self, anywhere: bool = False) -> None:
        """Active damping until the rod hangs still: no edge for 0.5 s, within 4 degrees of the bottom.

        Args:
            anywhere: Whatever the angle, for a plant whose zero is not known yet.
        """
        deadline = self.clock.now() + REST_LIMIT_S
        while not self._stopped.is_set():
            motion = self.motion()
            now, last = motion.t, motion.last_edge_at
            quiet = now - (self._watched_from if last is None else last) >= REST_QUIET_S
            if quiet and (anywhere or abs(wrapped(motion.theta - math.pi)) <= REST_ANGLE):
                self.apply(0.0)
                return
            if now > deadline:
                self.stop()
                raise PlantError(
                    f"the pendulum did not come to rest at the bottom within {REST_LIMIT_S:g} s: is it "
                    "blocked, pushed, or its zero old? Look, then calibrate"
                )
            # Friction alone ends small swings; braking them with the dead zone in between would feed them.
            brake = -DAMPING_GAIN * motion.theta_dot if abs(motion.theta_dot) > 0.8 else 0.0
            self.apply(max(-1.0, min(1.0, brake)))
            self.clock.sleep_until(now + DAMPING_PERIOD_S)

    # --- the supervisor

    def _supervise(self) -> None:
        realtime.raise_priority()
        while not self._closed.wait(PERIOD_S):
            try:
                self._watch()
            except Exception as error:  # whatever it is: without a watch the motor does not run
                with self._lock:
                    self.motor.off()
                    if self.safety.tripped is None:
                        log.exception("the supervisor failed")
                    self.safety.trip("supervisor", f"the motor was stopped: {error}")
        if self._guardian is not None:
            self._guardian.close()

    def _watch(self) -> None:
        now = self.motion().t  # nobody else may be reading the encoder, and it must not lose an edge
        with self._lock:
            armed = self._armed
            if armed and not self._powered():
                self.safety.trip("power", "the motor lost its 12 V: emergency stop, fuse or supply")
            silent = now - self._command_at
            if armed and silent > self.safety.limits.command_s:
                self.safety.note(
                    "watchdog", f"the control loop was silent for {silent:.2f} s: torque was zero"
                )
            if self.safety.tripped is not None or (armed and silent > self.safety.limits.command_s):
                self.motor.off()
            # No beat with arm while tripped or silent: the guardian takes the current away as well.
            arm = armed and self.safety.tripped is None
        if self._guardian_path is not None:
            self._beat(now, arm)

    def _beat(self, now: float, arm: bool) -> None:
        try:
            if self._guardian is None:
                self._guardian = GuardianLink(self._guardian_path or Path())
            word = self._guardian.beat(now, arm)
        except OSError as error:
            how = "does not answer any more" if isinstance(error, TimeoutError) else "is gone"
            self._trip_if_armed("guardian", f"the guardian {how}: the motor was stopped")
            lost, self._guardian = self._guardian, None
            if lost is not None:
                lost.close()
                if lost.answered:
                    self._lower_enable()
            return
        # The answer to this beat is read with the next one: two in a row, or it is an older "armed".
        self._current, self._asked = arm and self._asked and word == ARMED, arm
        if word == TRIPPED:
            self._trip_if_armed("guardian", "the guardian took the motor's current away: see its log")

    def _lower_enable(self) -> None:
        """What a guardian that was killed could not do any more. One that hangs holds its line still."""
        try:
            self._pins.lower(self._enable)
        except HardwareError as error:
            log.warning("the enable line is not ours to take down: %s", error)

    def _trip_if_armed(self, cause: str, sentence: str) -> None:
        with self._lock:
            if self._armed:
                self.motor.off()
                self.safety.trip(cause, sentence)
