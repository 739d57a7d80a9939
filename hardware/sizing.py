"""Does this motor with this rod and bob make the pendulum that the simulation assumes?

    python -m hardware.sizing                                  the reference build of hardware/docs/build.md
    python -m hardware.sizing --rod-mass 0.0235 --bob-mass 0.006      another rod, weighed

Every formula is here, so that `hardware/docs/build.md` can be checked. SI units throughout. The angle and
torque commands reveal only quotients by the moment of inertia (see `raas_gym.dynamics`): two numbers
must fit, g·S/J (how fast it swings) and the torque at full action over J (how strong the motor is).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from hardware.pins import PWM_HZ
from raas_gym.dynamics import MAX_TORQUE, MEASURED

G = 9.81
RPM = 2 * math.pi / 60
KGCM = G / 100
"""One kilogram-force centimetre [N·m], the unit of the trade."""
OVERSPEED = 25.0
"""Where the safety layer cuts the motor [rad/s]."""


@dataclass(frozen=True)
class Motor:
    """A brushed gear motor at its output shaft.

    The defaults are Pololu 4882 (25D, LP 12 V, 9.68:1): stall current and no-load current from its maker's
    table; speed and stall torque scaled by gear ratio from the 74.83:1 version's (75 rpm, 7.1 kg·cm),
    the torque raised by a fifth for two gear stages less. The rotor's inertia is an estimate, and so is
    `electrical_s`, the winding's inductance over its resistance: no maker of such motors tells.
    """

    volts: float = 12.0
    no_load_rpm: float = 580.0
    stall_kgcm: float = 1.1
    stall_amps: float = 0.9
    gear: float = 9.68
    counts_per_motor_turn: int = 48
    rotor_inertia: float = 1.0e-6
    electrical_s: float = 0.25e-3

    @property
    def ohms(self) -> float:
        """Winding resistance [Ω]."""
        return self.volts / self.stall_amps

    @property
    def back_emf(self) -> float:
        """Volts per rad/s of the output shaft."""
        return self.volts / (self.no_load_rpm * RPM)

    @property
    def counts_per_turn(self) -> float:
        """Encoder counts a turn of the output shaft; not a whole number."""
        return self.counts_per_motor_turn * self.gear


@dataclass(frozen=True)
class Bridge:
    """The L298N between 0.3 and 0.5 A, both inputs low in the pauses (the current circulates below).

    on_drop: upper and lower transistor together [V]; off_drop: lower transistor and diode [V].
    Typical values: ST's data sheet gives 2.55 V together at 1 A; about 1.6 V at these currents.
    """

    on_drop: float = 1.6
    off_drop: float = 1.6
    max_amps: float = 2.0
    degrees_per_watt: float = 12.0

    def mean_volts(self, supply: float, duty: float) -> float:
        """What the motor gets [V] while current flows all the time."""
        return max(0.0, duty * (supply - self.on_drop) - (1 - duty) * self.off_drop)

    def mean_amps(self, motor: Motor, duty: float, speed: float) -> float:
        """Mean current [A] of a motor that turns with `speed` [rad/s], over one period of the PWM.

        Where it dies away before the pause is over, back-EMF brakes only for a part of the period: the torque
        then fades far more slowly with speed than a current that never stops would let it.
        """
        emf, tau = motor.back_emf * speed, motor.electrical_s
        on, pause = duty / PWM_HZ, (1.0 - duty) / PWM_HZ
        driving = max(0.0, motor.volts - self.on_drop - emf) / motor.ohms
        braking = (self.off_drop + emf) / motor.ohms
        peak = driving * -math.expm1(-on / tau)
        flows_on = tau * math.log1p(peak / braking) if braking > 0.0 else pause
        # The integral of an exponential that starts and ends at zero; or at the same value, period by period.
        return PWM_HZ * (driving * on - braking * min(flows_on, pause))

    def dead_zone(self, supply: float) -> float:
        """Duty below which no current flows through a resting motor."""
        return self.off_drop / (supply - self.on_drop + self.off_drop)


@dataclass(frozen=True)
class Pendulum:
    """A uniform rod that begins `rod_above` over the axis, and a bob. Masses in kg, lengths in m."""

    rod_mass: float = 0.0206
    rod_length: float = 0.430
    rod_above: float = 0.015
    bob_mass: float = 0.0078
    bob_radius: float = 0.400

    def inertia(self, motor: Motor) -> float:
        """About the axis [kg·m²], the motor's rotor through the gear included."""
        below, per_m = self.rod_length - self.rod_above, self.rod_mass / self.rod_length
        rod = per_m * (below**3 + self.rod_above**3) / 3
        return rod + self.bob_mass * self.bob_radius**2 + motor.rotor_inertia * motor.gear**2

    def moment(self) -> float:
        """Mass times distance of its centre from the axis [kg·m]."""
        centre = self.rod_length / 2 - self.rod_above
        return self.rod_mass * centre + self.bob_mass * self.bob_radius


@dataclass(frozen=True)
class Sizing:
    """What comes out. Units as in the names' comments in `report`."""

    inertia: float
    gravity: float
    torque_gain: float
    volts: float
    amps: float
    torque: float
    top_speed: float
    no_load_speed: float
    dead_zone: float
    bridge_watts: float
    bridge_rise: float
    motor_watts: float
    swing_speed: float
    energy: float
    tip_speed: float
    edges_per_s: float


def size(motor: Motor, bridge: Bridge, pendulum: Pendulum, duty: float = 0.5) -> Sizing:
    """Everything about a build at full action (`duty`)."""
    inertia = pendulum.inertia(motor)
    gravity = G * pendulum.moment() / inertia
    swing = 2 * math.sqrt(gravity)
    volts = bridge.mean_volts(motor.volts, duty)
    amps = volts / motor.ohms
    torque = motor.stall_kgcm * KGCM * volts / motor.volts
    # The switching current path loses `on_drop` while on and `off_drop` while off.
    bridge_watts = amps * (duty * bridge.on_drop + (1 - duty) * bridge.off_drop)
    return Sizing(
        inertia=inertia,
        gravity=gravity,
        torque_gain=torque / inertia / MAX_TORQUE,
        volts=volts,
        amps=amps,
        torque=torque,
        top_speed=motor.no_load_rpm * RPM * volts / motor.volts,
        no_load_speed=swing
        / (1.0 - bridge.mean_amps(motor, duty, swing) / bridge.mean_amps(motor, duty, 0.0)),
        dead_zone=bridge.dead_zone(motor.volts),
        bridge_watts=bridge_watts,
        bridge_rise=bridge_watts * bridge.degrees_per_watt,
        motor_watts=amps**2 * motor.ohms,
        swing_speed=swing,
        energy=inertia * OVERSPEED**2 / 2,
        tip_speed=OVERSPEED * (pendulum.rod_length - pendulum.rod_above),
        edges_per_s=motor.counts_per_turn * 20.0 / (2 * math.pi),
    )


def bob_for(motor: Motor, pendulum: Pendulum, gravity: float = MEASURED.gravity) -> float:
    """The bob mass [kg] at which this rod swings with `gravity` [1/s²].

    Raises:
        ValueError: No bob at that radius does it: move it out (or use a longer rod).
    """
    bare = replace(pendulum, bob_mass=0.0)
    missing = bare.inertia(motor) * gravity - G * bare.moment()
    per_kg = G * pendulum.bob_radius - gravity * pendulum.bob_radius**2
    if missing * per_kg <= 0:
        raise ValueError(
            f"no bob at {pendulum.bob_radius} m gives {gravity} 1/s²: change rod length or radius"
        )
    return missing / per_kg


def report(motor: Motor, bridge: Bridge, pendulum: Pendulum) -> str:
    """The sizing as text, with the targets beside it."""
    s = size(motor, bridge, pendulum)
    lines = [
        ("moment of inertia", f"{s.inertia * 1e3:.2f} g·m²", "rotor through the gear included"),
        ("gravity g·S/J", f"{s.gravity:.1f} 1/s²", f"wanted {MEASURED.gravity} within 3 %"),
        ("torque gain", f"{s.torque_gain:.1f} rad/s² per unit", f"wanted {MEASURED.torque_gain} within 20 %"),
        (
            "motor voltage at full action",
            f"{s.volts:.1f} V",
            "50 % duty of 12 V, drops of the L298N taken off",
        ),
        ("current, blocked, full action", f"{s.amps:.2f} A", f"L298N: {bridge.max_amps:.0f} A continuous"),
        ("current, blocked, 100 % duty", f"{motor.stall_amps:.2f} A", "even a stuck PWM stays within that"),
        (
            "torque at full action",
            f"{s.torque * 1e3:.0f} mN·m",
            f"{s.torque / (s.inertia * s.gravity):.0%} of m·g·l",
        ),
        ("dead zone of the L298N", f"{s.dead_zone:.0%} of duty", "measured in 2020: about 12 %"),
        (
            "torque is gone at",
            f"{s.no_load_speed:.0f} rad/s",
            f"drawn on from {s.swing_speed:.0f} rad/s; the simulation has {MEASURED.no_load_speed:.0f}",
        ),
        ("the same, current never stops", f"{s.top_speed:.0f} rad/s", "a winding of 1 ms and more"),
        ("speed of a fall from upright", f"{s.swing_speed:.1f} rad/s", "what the motor must follow"),
        ("heat in the L298N", f"{s.bridge_watts:.1f} W", f"about {s.bridge_rise:.0f} °C above the air"),
        ("heat in the blocked motor", f"{s.motor_watts:.1f} W", "full action, blocked, for ever"),
        ("energy at overspeed", f"{s.energy:.2f} J", f"tip at {s.tip_speed:.0f} m/s"),
        ("encoder", f"{motor.counts_per_turn:.2f} counts a turn", f"{s.edges_per_s:.0f} edges/s at 20 rad/s"),
    ]
    return "\n".join(f"{name:32}{value:26}{remark}" for name, value, remark in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the sizing of a build."""
    parser = argparse.ArgumentParser(prog="python -m hardware.sizing", description="Size rod and bob.")
    for part in (Motor, Pendulum):
        for one in fields(part):
            parser.add_argument(f"--{one.name.replace('_', '-')}", type=float, default=one.default)
    given = vars(parser.parse_args(arguments))
    motor = Motor(**{one.name: given[one.name] for one in fields(Motor)})
    pendulum = Pendulum(**{one.name: given[one.name] for one in fields(Pendulum)})
    print(report(motor, Bridge(), pendulum))
    try:
        grams = bob_for(motor, pendulum) * 1e3
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(f"\nbob for {MEASURED.gravity} 1/s² at {pendulum.bob_radius * 1e3:.0f} mm: {grams:.1f} g")


if __name__ == "__main__":
    main()
