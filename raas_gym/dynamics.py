"""The one physics of the pendulum, in SI units. `raas_gym.batch` is the same for thousands at once.

Angles: θ = 0 upright, θ = π hanging, counter-clockwise positive. The equation is divided by the
moment of inertia, because angles and torque commands alone never reveal mass and length apart:

    θ̈ = gravity·sin θ + torque_gain·u·(1 − θ̇·sign(u)/no_load_speed) − viscous·θ̇ − coulomb·sign(θ̇)

Two parameter sets:

`IDEAL` is the simulation of 2020, exactly: θ̈ = 27 sin θ + 8 u − 2 θ̇, semi-implicit Euler, 0.05 s.

`MEASURED` is what a real robot does behind its motor driver's compensation. Each field of
`PendulumParams` names its source; "assumed" marks a typical value no robot has confirmed yet, which
calibration replaces. `RAW_MOTOR` is `MEASURED` with the driver's compensation switched off.

One period is three functions of plain floats, made once for a parameter set: `make_drive` (action to
torque), `make_step` (motion) and `make_sensor` (what is measured). `raas_gym.batch` does the same
operations in the same order over arrays, and a property test compares the two bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np

TURN = 2.0 * math.pi
MAX_TORQUE = 2.0
"""Largest action, both signs. The unit is Pendulum-v1's (nominally N·m); 2 is full drive."""
MAX_SPEED = 20.0
"""Largest |θ̇| an observation reports, rad/s (the system of 2020)."""

Integrator = Literal["euler", "verlet"]


@dataclass(frozen=True)
class PendulumParams:
    """Physical parameters of one pendulum (defaults: `MEASURED`).

    gravity           1/s²      m·g·l/J. Refit of the data published in 2020.
    torque_gain       rad/s²    acceleration per unit of action. The fit of 2020.
    viscous           1/s       viscous friction over inertia. Refit of the 2020 data.
    coulomb           rad/s²    dry friction while moving, over inertia. Refit of the 2020 data.
    breakaway         rad/s²    dry friction in a period that begins at rest; 1.2 to 1.5 times coulomb
                                is typical. Assumed.
    dead_zone         action    actions up to this size move nothing. The motor's own is 12 % of
                                duty (measured), which is 0.48 of an action, since duty is u/2·50 %;
                                the driver compensates it and leaves about a tenth. Assumed.
    no_load_speed     rad/s     speed at which the motor's torque has fallen to zero. Assumed: 22 to 45
                                for the reference motor, by its winding (`hardware.sizing`).
    delay             s         from an action's arrival to its torque; 10 to 50 ms typical. Assumed.
    encoder_count     rad       one encoder count: 480 a turn (measured 445 to 480). 0: exact angle.
    velocity_window   s         θ̇ is the difference of two encoder readings this far apart.
                                At most one period. 0: exact velocity.
    speed_limit       rad/s     the state's own clip (2020 had one at 20; a real pendulum has none).
    dt                s         control period.
    substeps          -         integration steps a period.
    integrator        -         "euler": semi-implicit, as in 2020, frictions viscous only.
                                "verlet": second order, dry friction by projection.
    """

    gravity: float = 28.6
    torque_gain: float = 8.0
    viscous: float = 0.25
    coulomb: float = 1.0
    breakaway: float = 1.3
    dead_zone: float = 0.05
    no_load_speed: float = 40.0
    delay: float = 0.02
    encoder_count: float = TURN / 480
    velocity_window: float = 0.03
    speed_limit: float = math.inf
    dt: float = 0.05
    substeps: int = 5
    integrator: Integrator = "verlet"

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem is not None:
            raise ValueError(f"impossible pendulum: {problem}; change that parameter")

    def as_dict(self) -> dict[str, float | int | str]:
        """The parameters by name, ready for JSON (an infinite value becomes the string "inf")."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: "inf" if value == math.inf else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PendulumParams:
        """The inverse of `as_dict`; missing names keep the `MEASURED` value. ValueError for unknown ones."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(
                f"unknown pendulum parameter {unknown[0]!r}; known are {', '.join(sorted(known))}"
            )
        read: dict[str, Any] = {name: math.inf if value == "inf" else value for name, value in values.items()}
        return cls(**read)


def _problem(p: PendulumParams) -> str | None:
    """Why these parameters describe no pendulum, or None."""
    return _problem_of_one(p) or _problem_of_several(p)


def _problem_of_one(p: PendulumParams) -> str | None:
    for name in ("gravity", "torque_gain", "dt", "no_load_speed", "speed_limit"):
        if not getattr(p, name) > 0:
            return f"{name} must be above zero"
    for name in ("viscous", "coulomb", "breakaway", "dead_zone", "delay", "encoder_count", "velocity_window"):
        value = getattr(p, name)
        if not (value >= 0 and math.isfinite(value)):
            return f"{name} must be zero or more, and finite"
    return None


def _problem_of_several(p: PendulumParams) -> str | None:
    if not (p.dead_zone < MAX_TORQUE and p.coulomb <= p.breakaway):
        return f"dead_zone must stay under {MAX_TORQUE} and breakaway may not be under coulomb"
    if p.velocity_window > p.dt or p.substeps < 1:
        return "velocity_window may not exceed dt, and substeps must be at least 1"
    if p.integrator == "euler" and (p.coulomb or p.breakaway or p.dead_zone or p.delay or p.substeps > 1):
        return "integrator 'euler' has viscous friction only, no delay and one sub-step; use 'verlet'"
    if p.integrator not in ("euler", "verlet"):
        return f"integrator {p.integrator!r} is neither 'euler' nor 'verlet'"
    return None


IDEAL = PendulumParams(
    gravity=27.0,
    torque_gain=8.0,
    viscous=2.0,
    coulomb=0.0,
    breakaway=0.0,
    dead_zone=0.0,
    no_load_speed=math.inf,
    delay=0.0,
    encoder_count=0.0,
    velocity_window=0.0,
    speed_limit=MAX_SPEED,
    substeps=1,
    integrator="euler",
)
MEASURED = PendulumParams()
RAW_MOTOR = replace(MEASURED, dead_zone=0.48)
PRESETS: Mapping[str, PendulumParams] = {"ideal": IDEAL, "measured": MEASURED, "raw_motor": RAW_MOTOR}

DEFAULT_SPREAD: Mapping[str, float] = {
    "gravity": 0.05,
    "torque_gain": 0.1,
    "viscous": 0.5,
    "coulomb": 0.3,
    "breakaway": 0.3,
    "dead_zone": 1.0,
    "no_load_speed": 0.2,
    "delay": 0.5,
}
"""Relative half-widths for domain randomisation: what differs between robots of one build."""


def randomized(
    params: PendulumParams, spread: Mapping[str, float], rng: np.random.Generator
) -> PendulumParams:
    """Parameters drawn uniformly from value·(1 ± spread), name by name in sorted order.

    Raises ValueError for an unknown name or a spread outside 0..1.
    """
    drawn: dict[str, float] = {}
    for name in sorted(spread):
        if name not in DEFAULT_SPREAD:
            raise ValueError(f"cannot randomize {name!r}; choose from {', '.join(sorted(DEFAULT_SPREAD))}")
        width = spread[name]
        if not 0.0 <= width <= 1.0:
            raise ValueError(f"the spread of {name} is {width}; give a fraction between 0 and 1")
        drawn[name] = getattr(params, name) * (1.0 + rng.uniform(-width, width))
    values = {**params.as_dict(), **drawn}
    # Independent draws may cross, and a pendulum at rest never slips below its moving friction.
    values["breakaway"] = max(float(values["breakaway"]), float(values["coulomb"]))
    return PendulumParams.from_dict(values)


class Coefficients(NamedTuple):
    """What one sub-step of `h` seconds multiplies with.

    A sub-step counts speed as way, in rad a sub-step: that saves a multiplication in each. So what changes
    the speed carries h·h, and what scales it h.
    """

    h: float
    gravity_kick: float
    torque_kick: float
    torque_drag: float
    damping: float
    slide: float
    stick: float


def coefficients(params: PendulumParams) -> Coefficients:
    """The coefficients of one pendulum."""
    h = params.dt / params.substeps
    return Coefficients(
        h=h,
        gravity_kick=h * h * params.gravity,
        torque_kick=h * h * params.torque_gain,
        torque_drag=h * params.torque_gain / params.no_load_speed,
        damping=1.0 - h * params.viscous,
        slide=h * h * params.coulomb,
        stick=h * h * params.breakaway,
    )


class Segment(NamedTuple):
    """Sub-steps in a row with the same torque: `share` of the new drive, the rest of the old one.

    The velocity window opens at the beginning of the segment with `opens`.
    """

    share: float
    repeats: range
    opens: bool


def segments(params: PendulumParams) -> list[Segment]:
    """The sub-steps of one period. Whole periods of delay are the plant's to keep."""
    h = params.dt / params.substeps
    fraction = math.fmod(params.delay, params.dt)
    shares = [1.0 - min(1.0, max(0.0, (fraction - step * h) / h)) for step in range(params.substeps)]
    opens = params.substeps - round(params.velocity_window / h)
    plan: list[Segment] = []
    for step, share in enumerate(shares):
        if plan and plan[-1].share == share and step != opens:
            plan[-1] = plan[-1]._replace(repeats=range(len(plan[-1].repeats) + 1))
        else:
            plan.append(Segment(share, range(1), step == opens))
    return plan if opens < params.substeps else [*plan, Segment(1.0, range(0), True)]


State = tuple[float, float, float, float]
"""θ [rad, unwrapped], θ̇ [rad/s], θ when the velocity window opened, the drive in force.

A plain tuple: building a named one would take as long as the physics.
"""
Drive = Callable[[float], float]
"""Action within ±2 -> the torque that gets past the dead zone."""
Step = Callable[[State, float], State]
"""(state, new drive) -> the state one period later."""
Sensor = Callable[[State], tuple[float, float]]
"""State -> what the encoder says: θ (unwrapped), θ̇ within ±20."""


def make_drive(params: PendulumParams) -> Drive | None:
    """Full action is full torque whatever the dead zone: the drive's upper end does not move.

    None where there is no dead zone and the drive is the action itself.
    """
    dead_zone, rescale = params.dead_zone, MAX_TORQUE / (MAX_TORQUE - params.dead_zone)
    if not dead_zone:
        return None

    def drive(torque: float) -> float:
        if torque > dead_zone:
            return (torque - dead_zone) * rescale
        return (torque + dead_zone) * rescale if torque < -dead_zone else 0.0

    return drive


def make_step(params: PendulumParams) -> Step:
    """One period of one pendulum, without NumPy, which would cost ten times the arithmetic."""
    return (
        _euler_step(params)
        if params.integrator == "euler"
        else _verlet_step(coefficients(params), segments(params))
    )


def _euler_step(p: PendulumParams) -> Step:
    gravity, gain, viscous, dt, limit = p.gravity, p.torque_gain, p.viscous, p.dt, p.speed_limit
    sin = math.sin

    def step(state: State, new: float) -> State:
        theta, theta_dot, _, _ = state
        theta_dot += (gravity * sin(theta) + gain * new - viscous * theta_dot) * dt
        if theta_dot > limit:
            theta_dot = limit
        elif theta_dot < -limit:
            theta_dot = -limit
        return theta + theta_dot * dt, theta_dot, theta, new

    return step


def _verlet_step(c: Coefficients, segments: list[Segment]) -> Step:
    h, gravity_kick, torque_kick, torque_drag, damping, slide, stick = c
    sin = math.sin
    # Plain tuples are unpacked in half the time of named ones.
    plan = [(share, repeats, opens) for share, repeats, opens in segments]

    def step(state: State, new: float) -> State:
        theta, theta_dot, opened, old = state
        way, dry = h * theta_dot, slide if theta_dot else stick
        middle = theta + 0.5 * way
        kick, keep = torque_kick * old, damping - torque_drag * (old if old > 0.0 else -old)
        new_kick, new_keep = torque_kick * new, damping - torque_drag * (new if new > 0.0 else -new)
        for share, repeats, opens in plan:
            if share == 1.0:
                torque, kept = new_kick, new_keep
            else:
                rest = 1.0 - share
                torque, kept = rest * kick + share * new_kick, rest * keep + share * new_keep
            if opens:
                opened = middle - 0.5 * way
            for _ in repeats:
                # Friction only ever brakes: what it cannot stop within the sub-step, it slows.
                way = way * kept + torque + gravity_kick * sin(middle)
                if way > dry:
                    way -= dry
                elif way < -dry:
                    way += dry
                else:
                    way = 0.0
                middle += way
        return middle - 0.5 * way, way / h, opened, new

    return step


ROUND = 1.5 * 2.0**52
"""Adding and subtracting it rounds a float to the nearest whole number, in a third of `round`'s time."""


def make_sensor(params: PendulumParams) -> Sensor | None:
    """The encoder, which counts from hanging, and the velocity made of its readings.

    None where what is measured is the state itself.
    """
    count, window, hanging = params.encoder_count, params.velocity_window, math.pi
    if not count and not window and params.speed_limit <= MAX_SPEED:
        return None
    speed_count = count / window if window else 0.0

    def exact(state: State) -> tuple[float, float]:
        theta, theta_dot, opened, _ = state
        if window:
            theta_dot = (theta - opened) / window
        return theta, min(MAX_SPEED, max(-MAX_SPEED, theta_dot))

    def counted(state: State) -> tuple[float, float]:
        theta, theta_dot, opened, _ = state
        now = (theta - hanging) / count + ROUND - ROUND
        if window:
            theta_dot = (now - ((opened - hanging) / count + ROUND - ROUND)) * speed_count
        if theta_dot > MAX_SPEED:
            theta_dot = MAX_SPEED
        elif theta_dot < -MAX_SPEED:
            theta_dot = -MAX_SPEED
        return hanging + now * count, theta_dot

    return counted if count else exact


def wrapped(theta: float) -> float:
    """θ within [−π, π)."""
    return (theta + math.pi) % TURN - math.pi


def cost(theta: float, theta_dot: float, torque: float) -> float:
    """θ² + 0.1 θ̇² + 0.001 u² with θ wrapped: Pendulum-v1's, charged on the state before the step."""
    theta = wrapped(theta)
    return theta * theta + 0.1 * theta_dot * theta_dot + 0.001 * torque * torque


WORST_COST = math.pi**2 + 0.1 * MAX_SPEED**2 + 0.001 * MAX_TORQUE**2
"""The largest cost of one tick, about 49.87."""
