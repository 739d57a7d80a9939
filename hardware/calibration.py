"""Calibration: a safe excitation, a fit, a passport. Self-test and homing are its smaller brothers.

All of them move the robot through `HardwarePlant.apply`, so every limit holds here too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from hardware import identify
from hardware.errors import HardwareError
from hardware.identify import Fit, FitError, Recording
from hardware.motor import DUTY_PER_ACTION
from hardware.passport import Estimate, Passport, problem_of
from hardware.plant import HardwarePlant, MotionRecorder
from raas_gym.dynamics import wrapped
from raas_gym.version import __version__

PERIOD_S = 0.01
SWING_ANGLE = math.radians(100)
HOMING_ANGLE = math.radians(45)
FREE_S = 9.0
SWINGS = 4
SPIN_SPEED = 14.0
"""Swings alone hardly tell viscous from dry friction; coasting down from here they are told apart [rad/s]."""
SPIN_S = 8.0
SPINS = 4
RANDOM_S = 30.0
SEEN = math.radians(3)
"""More than gear play."""
SPEED_GUARD = 12.0
"""The random torques pause above this speed [rad/s]."""
MOST_RMS = 0.5
"""A fit that predicts unseen data worse than this is refused [counts]."""
MOST_RELATIVE = {
    "gravity": 0.02,
    "torque_gain": 0.03,
    "viscous": 0.1,
    "coulomb": 0.1,
    "drag": 0.1,
    "delay": 0.2,
}
"""Largest relative half-width of a confidence interval that is accepted."""
MOST_ABSOLUTE = {"dead_zone": 0.01 / DUTY_PER_ACTION, "zero": 1.0}
"""The same for what may be zero: 1 % of duty, one count."""
MOST_ILLEGAL = 0.002

Say = Callable[[str], None]


class CalibrationError(HardwareError):
    """The robot did not do what it should, or the fit is not good enough; nothing was changed."""


def self_test(plant: HardwarePlant, say: Say) -> None:
    """Move visibly to both sides and look whether the encoder agrees.

    Raises:
        CalibrationError: It does not: the message says what to look at.
        PlantError: A limit tripped.
    """
    plant.arm()
    plant.rest(anywhere=True)
    moved = []
    for side in (1.0, -1.0):
        start = plant.motion().theta
        most = 0.0
        for _ in range(30):
            _command(plant, side)
            most = max(most, plant.motion().theta - start, key=abs)
            if most * side < -SEEN:  # at once: braking a swing the wrong way round would feed it
                plant.stop()
                raise CalibrationError("the motor turns against the encoder: swap the motor's two wires")
        plant.rest(anywhere=True)
        say(f"action {side:+.0f} for 0.3 s: {math.degrees(most):+.0f} degrees")
        moved.append(most * side)
    plant.stop()
    if max(moved) < SEEN:
        raise CalibrationError("nothing moved: 12 V, enable line, motor wires, or the encoder's wires")
    if min(moved) < SEEN:
        raise CalibrationError("it moved to one side only: one of IN1 and IN2, or one encoder channel")


def jog(plant: HardwarePlant, torque: float, seconds: float, say: Say) -> None:
    """Hold a torque [action] for at most 5 seconds, then rest.

    Raises:
        CalibrationError: It was stopped.
        PlantError: A limit tripped.
    """
    plant.arm()
    end = plant.clock.now() + min(max(seconds, 0.0), 5.0)
    while plant.clock.now() < end:
        _command(plant, torque)
    motion = plant.motion()
    say(f"at {math.degrees(motion.theta):.1f} degrees with {motion.theta_dot:.2f} rad/s")
    plant.rest(anywhere=True)


def home(plant: HardwarePlant, passport: Passport) -> None:
    """Find the count at which the rod hangs, from a free swing: where it stops, friction decides.

    Raises:
        FitError: The swing does not fit the passport.
        PlantError: A limit tripped.
    """
    plant.arm()
    plant.rest(anywhere=True)
    plant.zero = plant.encoder.count
    recorder = plant.recorder = MotionRecorder()
    try:
        _pump(plant, HOMING_ANGLE)
        _coast(plant, 5.0)
        plant.rest(anywhere=True)
    finally:
        plant.recorder = None
        plant.stop()
    found = identify.fit(_recording(recorder, plant, passport), _guess(plant, passport), free=["zero"])
    if found.rms > 3.0 * MOST_RMS:
        raise FitError(
            f"the swing is {found.rms:.1f} counts off what passport {passport.version} predicts: "
            "calibrate anew"
        )
    plant.zero = found.values["zero"]


def calibrate(plant: HardwarePlant, robot: str, passport: Passport, say: Say) -> tuple[Passport, Fit]:
    """Excite, identify, check; the new passport, which nobody has put in force yet, and its fit.

    Raises:
        CalibrationError: The fit is refused.
        FitError: There is no fit.
        PlantError: A limit tripped, or somebody stopped it.
    """
    self_test(plant, say)
    recorder = _excite(plant, say)
    say(f"{len(recorder.edges)} edges recorded; identifying")
    illegal = plant.counter.illegal
    if illegal > MOST_ILLEGAL * len(recorder.edges):
        raise CalibrationError(f"{illegal} impossible encoder transitions: look at the encoder's wires")
    found = identify.fit(_recording(recorder, plant, passport), _guess(plant, passport))
    _accept(found)
    new = _passport(found, robot, passport)
    if (problem := problem_of(new)) is not None:
        raise CalibrationError(f"the fit is absurd, {problem}: see hardware/docs/calibration.md")
    plant.zero = new.zero_counts
    return new, found


def _excite(plant: HardwarePlant, say: Say) -> MotionRecorder:
    rng = random.Random(1)  # noqa: S311 - an excitation that can be repeated
    plant.arm()
    plant.rest(anywhere=True)
    plant.zero = plant.encoder.count
    recorder = plant.recorder = MotionRecorder()
    try:
        for swing in range(1, SWINGS + 1):
            say(f"free swing {swing} of {SWINGS}")
            _pump(plant, SWING_ANGLE)
            _coast(plant, FREE_S)
        for spin in range(1, SPINS + 1):
            say(f"spin {spin} of {SPINS}")
            _spin(plant, 1.0 if spin % 2 else -1.0)
            _coast(plant, FREE_S)
        say(f"random torques for {RANDOM_S:.0f} s")
        _shake(plant, rng)
        plant.rest(anywhere=True)
    finally:
        plant.recorder = None
        plant.stop()
    return recorder


def _pump(plant: HardwarePlant, angle: float) -> None:
    """Push with the motion until it swings as far as `angle`."""
    deadline = plant.clock.now() + 15.0
    side = 1.0
    while abs(wrapped(plant.motion().theta - math.pi)) < angle:
        if plant.clock.now() > deadline:
            raise CalibrationError("the motor does not lift the rod: 12 V, motor wires, a jammed gear")
        speed = plant.motion().theta_dot
        if abs(speed) > 0.3:
            side = math.copysign(1.0, speed)
        _command(plant, 1.6 * side)


def _spin(plant: HardwarePlant, side: float) -> None:
    """Go round to one side until it is fast, or as fast as it gets."""
    end = plant.clock.now() + SPIN_S
    while plant.clock.now() < end and (speed := plant.motion().theta_dot) * side < SPIN_SPEED:
        _command(plant, 2.0 * (side if abs(speed) < 0.3 else math.copysign(1.0, speed)))


def _coast(plant: HardwarePlant, seconds: float) -> None:
    end = plant.clock.now() + seconds
    while plant.clock.now() < end:
        _command(plant, 0.0)


def _shake(plant: HardwarePlant, rng: random.Random) -> None:
    end = plant.clock.now() + RANDOM_S
    while plant.clock.now() < end:
        torque = rng.choice([-1.0, 1.0]) * rng.uniform(0.06, 2.0)
        for _ in range(rng.randint(8, 40)):
            fast = abs(plant.motion().theta_dot) > SPEED_GUARD
            _command(plant, 0.0 if fast else torque)


def _command(plant: HardwarePlant, torque: float) -> None:
    """Hold a torque for one period."""
    if plant.stopped:
        raise CalibrationError("it was stopped")
    plant.apply(torque)
    plant.clock.sleep_until(plant.clock.now() + PERIOD_S)
    plant.motion()


def _recording(recorder: MotionRecorder, plant: HardwarePlant, passport: Passport) -> Recording:
    steps = np.array([edge.step for edge in recorder.edges], dtype=float)
    count = plant.encoder.count - steps.sum() if len(steps) else 0.0
    duties = recorder.duties or [(0.0, 0.0)]
    return Recording(
        edge_times=np.array([edge.t for edge in recorder.edges]),
        boundaries=count + np.cumsum(steps) - 0.5 * steps,
        command_times=np.array([t for t, _ in duties]),
        commands=np.array([duty for _, duty in duties]) / DUTY_PER_ACTION,
        counts_per_turn=passport.counts_per_turn,
    )


def _guess(plant: HardwarePlant, passport: Passport) -> dict[str, float]:
    return {
        "gravity": passport.gravity.value,
        "torque_gain": passport.torque_gain.value,
        "viscous": passport.viscous.value,
        "coulomb": passport.coulomb.value,
        "drag": 1.0 / passport.no_load_speed.value,
        "dead_zone": passport.dead_zone / DUTY_PER_ACTION,
        "delay": passport.delay.value,
        "zero": float(plant.zero),
    }


def _accept(found: Fit) -> None:
    if found.held_out_rms > MOST_RMS:
        raise CalibrationError(
            f"the fit is refused: on data it had not seen it is {found.held_out_rms:.1f} counts off "
            f"(limit {MOST_RMS:g}): something touched the rod, or edges were lost; repeat once"
        )
    for name, most in MOST_RELATIVE.items():
        relative = found.half_widths[name] / max(abs(found.values[name]), 1e-9)
        if relative > most:
            raise CalibrationError(
                f"the fit is refused: {name} is known to {relative:.0%} only (limit {most:.0%}); repeat once"
            )
    for name, most in MOST_ABSOLUTE.items():
        if found.half_widths[name] > most:
            raise CalibrationError(
                f"the fit is refused: {name} is known to {found.half_widths[name]:.3f} only "
                f"(limit {most:.3f}); repeat once"
            )


def _passport(found: Fit, robot: str, old: Passport) -> Passport:
    now = datetime.now(UTC)
    values, half = found.values, found.half_widths
    no_load = 1.0 / max(values["drag"], 1e-3)

    def estimate(name: str, scale: float = 1.0) -> Estimate:
        return Estimate(value=values[name] * scale, half_width=half[name] * scale)

    return Passport(
        version=now.strftime("%Y-%m-%d.%H%M%S"),
        robot=robot,
        created=now.isoformat(timespec="seconds"),
        software=__version__,
        counts_per_turn=old.counts_per_turn,
        gravity=estimate("gravity"),
        torque_gain=estimate("torque_gain"),
        viscous=estimate("viscous"),
        coulomb=estimate("coulomb"),
        no_load_speed=Estimate(value=no_load, half_width=half["drag"] * no_load**2),
        dead_zone_duty=estimate("dead_zone", DUTY_PER_ACTION),
        delay=estimate("delay"),
        zero=estimate("zero"),
        held_out_error=found.held_out_rms,
    )
