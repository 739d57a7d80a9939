"""Limits that no user can pass: what goes to the motor is what `Safety.admit` lets through.

Soft limits bend the command and the session goes on: clip, slew, overspeed (no torque until it is slower),
thermal budget (less torque). Hard limits trip: the motor stays off, the session ends, the robot wants a look:
an encoder that does not move when it should, energy that no command explains (reversed wiring, a bridge
that leaks, a blocked rod), and what the plant finds: 12 V gone, the guardian gone, a control loop that fell
silent. Every intervention is noted, once for each cause.

Pure: no pin, no clock of its own; a property test feeds it anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from raas_gym.dynamics import MAX_TORQUE, PendulumParams


@dataclass(frozen=True)
class Limits:
    """The limits; a passport may lower them, nothing raises them.

    Attributes:
        torque: Largest command [action].
        slew: Fastest change of the command, sustained [action/s]: full reversals at 20 Hz pass.
        overspeed: From here on no torque [rad/s]; the guard and the screws are made for it.
        overspeed_off: Torque comes back below [rad/s].
        runaway_speed: Trip [rad/s].
        rms_duty: Thermal budget: RMS of the duty over `rms_window_s`.
        rms_window_s: The motor's thermal time constant, roughly [s].
        drive_s: Longest time without a pause of the command's sign or size [s]: a motor that is only
            ever told "full" by a forgotten program rests then.
        stuck_s: No edge for this long though the torques add up to motion: trip [s].
        stuck_acceleration: How much they must add up to [rad/s²].
        leak_energy: Unexplained energy that trips [rad²/s², per inertia].
        leak_time_s: How fast unexplained energy is forgiven [s].
        command_s: The motor stops without a command for this long [s].
    """

    torque: float = MAX_TORQUE
    slew: float = 100.0
    overspeed: float = 25.0
    overspeed_off: float = 20.0
    runaway_speed: float = 35.0
    rms_duty: float = 0.45
    rms_window_s: float = 60.0
    drive_s: float = 60.0
    stuck_s: float = 0.4
    stuck_acceleration: float = 6.0
    leak_energy: float = 60.0
    leak_time_s: float = 1.0
    command_s: float = 0.1


@dataclass(frozen=True)
class Motion:
    """What is known of the shaft at a moment: t [s], θ [rad, 0 upright], θ̇ [rad/s], last edge [s or None]."""

    t: float
    theta: float
    theta_dot: float
    last_edge_at: float | None = None


class Safety:
    """The state of the limits. One control loop calls it.

    Args:
        limits: The limits.
        params: The robot's physics, from its passport: what motion a torque explains.
    """

    def __init__(self, limits: Limits, params: PendulumParams) -> None:
        self.limits = limits
        self._params = params
        self.tripped: str | None = None
        """Why the motor stays off, a sentence; None while all is well."""
        self._notes: dict[str, str] = {}
        self._before: tuple[Motion, float] | None = None
        self._overspeed = False
        self._heat = 0.0
        self._allowance = 2.0 * limits.torque
        self._full_since: float | None = None
        self._pushing_since: float | None = None
        self._pushing_side = 0.0
        self._gained = self._lacked = 0.0

    def admit(self, command: float, motion: Motion) -> float:
        """The torque that may go to the motor now for a command, whatever it is.

        Returns:
            A finite action within the limits; 0 once tripped.
        """
        self._watch(motion)
        torque = self._bent(command, motion)
        self._before = motion, torque
        return torque

    def trip(self, cause: str, sentence: str) -> None:
        """Motor off until `clear`; the first cause stays."""
        if self.tripped is None:
            self.tripped = sentence
            self.note(cause, sentence)

    def note(self, cause: str, sentence: str) -> None:
        """Record an intervention, once for each cause."""
        self._notes.setdefault(cause, sentence)

    def interventions(self) -> list[str]:
        """What was done since the last call."""
        notes, self._notes = list(self._notes.values()), {}
        return notes

    def clear(self) -> None:
        """Forget a trip and the motion before it: a person had a look, or a new session begins."""
        self.tripped = None
        self.forget_motion()

    def forget_motion(self) -> None:
        """Begin to watch anew: time has passed in which nobody watched."""
        self._before = None
        self._gained = self._lacked = 0.0
        self._pushing_since = self._full_since = None
        self._overspeed = False

    # --- hard limits

    def _watch(self, motion: Motion) -> None:
        """Compare the motion with what the torque before explains."""
        if self._before is None:
            return
        before, torque = self._before
        passed = motion.t - before.t
        if passed <= 0.0:
            return
        if abs(motion.theta_dot) > self.limits.runaway_speed:
            self.trip("runaway", f"it turned at {abs(motion.theta_dot):.0f} rad/s: the motor was stopped")
        self._watch_energy(before, motion, torque, passed)
        self._watch_encoder(motion, torque)
        self._warm(torque, passed)

    def _watch_energy(self, before: Motion, motion: Motion, torque: float, passed: float) -> None:
        p, speed = self._params, 0.5 * (before.theta_dot + motion.theta_dot)
        drive = p.torque_gain * torque * max(0.0, 1.0 - speed * math.copysign(1.0, torque) / p.no_load_speed)
        work = drive * speed * passed
        friction = (p.coulomb * abs(speed) + p.viscous * speed * speed) * passed
        unexplained = self._energy(motion) - self._energy(before) - work
        # The torque acts a delay late, and a supply or a fit may be off by a third.
        slack = 0.35 * abs(work) + 0.1 * p.torque_gain * abs(torque) * passed
        fade = math.exp(-passed / self.limits.leak_time_s)
        self._gained = fade * max(0.0, self._gained + unexplained - slack)
        self._lacked = fade * max(0.0, self._lacked - unexplained - slack - 3.0 * friction)
        if max(self._gained, self._lacked) > self.limits.leak_energy:
            how = "gained" if self._gained > self._lacked else "lost"
            self.trip(
                "energy",
                f"the pendulum {how} energy that no command explains: motor or encoder wires swapped, "
                "a blocked rod, a slipping flange or current without command; the motor was stopped",
            )

    def _energy(self, motion: Motion) -> float:
        return 0.5 * motion.theta_dot**2 + self._params.gravity * math.cos(motion.theta)

    def _watch_encoder(self, motion: Motion, torque: float) -> None:
        push = self._params.torque_gain * torque + self._params.gravity * math.sin(motion.theta)
        quiet = motion.last_edge_at is None or motion.t - motion.last_edge_at > self.limits.stuck_s
        side = math.copysign(1.0, push)
        if abs(push) < self._params.breakaway + self.limits.stuck_acceleration or abs(torque) < 0.5:
            self._pushing_since = None
        elif self._pushing_since is None or side != self._pushing_side:
            # Pushes to and fro may cancel within less than a count.
            self._pushing_since, self._pushing_side = motion.t, side
        elif quiet and motion.t - self._pushing_since > self.limits.stuck_s:
            self.trip(
                "stuck",
                f"no encoder edge for {self.limits.stuck_s:g} s though the motor pushes: encoder wire, "
                "blocked rod or dead motor; the motor was stopped",
            )

    def _warm(self, torque: float, passed: float) -> None:
        duty = abs(torque) / MAX_TORQUE * 0.5
        share = math.exp(-passed / self.limits.rms_window_s)
        self._heat = self._heat * share + duty * duty * (1.0 - share)

    # --- soft limits

    def _bent(self, command: float, motion: Motion) -> float:
        if self.tripped is not None:
            return 0.0
        if not math.isfinite(command):
            self.note("nan", "a command was no finite number: it counted as zero")
            return 0.0
        torque = max(-self.limits.torque, min(self.limits.torque, command))
        if self._too_fast(motion.theta_dot):
            return 0.0
        return self._slewed(self._cooled(self._rested(torque, motion.t)), motion.t)

    def _too_fast(self, theta_dot: float) -> bool:
        speed = abs(theta_dot)
        self._overspeed = speed > (self.limits.overspeed_off if self._overspeed else self.limits.overspeed)
        if self._overspeed:
            self.note(
                "overspeed", f"faster than {self.limits.overspeed:g} rad/s: no torque until it was slower"
            )
        return self._overspeed

    def _rested(self, torque: float, t: float) -> float:
        if abs(torque) < 0.9 * self.limits.torque:
            self._full_since = None
        elif self._full_since is None or (self._before is not None and self._before[1] * torque < 0):
            self._full_since = t
        elif t - self._full_since > self.limits.drive_s:
            self.note("drive", f"full torque one way for {self.limits.drive_s:g} s: it was taken away")
            return 0.0
        return torque

    def _cooled(self, torque: float) -> float:
        budget = self.limits.rms_duty
        if self._heat <= budget * budget:
            return torque
        self.note("heat", f"RMS duty above {budget:.0%}: torque was reduced until the motor had cooled")
        most = self.limits.torque * budget * budget / self._heat * 0.5
        return max(-most, min(most, torque))

    def _slewed(self, torque: float, t: float) -> float:
        """A full reversal is free; many of them in a row are slowed to the limit's rate."""
        if self._before is None:
            return torque
        before, last = self._before
        whole = 2.0 * self.limits.torque
        self._allowance = min(whole, self._allowance + self.limits.slew * max(0.0, t - before.t))
        change = max(-self._allowance, min(self._allowance, torque - last))
        if change != torque - last:
            self.note(
                "slew", f"commands changed faster than {self.limits.slew:g} per second: they were slowed"
            )
        self._allowance -= abs(change)
        return last + change
