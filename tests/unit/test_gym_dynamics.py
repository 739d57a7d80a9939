"""The physics: the simulation of 2020 to the digit, and each effect of the measured pendulum by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raas_gym.dynamics import (
    DEFAULT_SPREAD,
    IDEAL,
    MEASURED,
    PRESETS,
    RAW_MOTOR,
    PendulumParams,
    State,
    cost,
    make_drive,
    make_sensor,
    make_step,
    randomized,
    wrapped,
)
from raas_gym.plants import SimPlant

BARE = replace(
    MEASURED,
    viscous=0.0,
    coulomb=0.0,
    breakaway=0.0,
    dead_zone=0.0,
    no_load_speed=math.inf,
    delay=0.0,
    encoder_count=0.0,
    velocity_window=0.0,
)
"""A pendulum without any of the measured effects."""
torques = st.floats(-2, 2)


def run(params: PendulumParams, theta: float, theta_dot: float, torques: list[float]) -> State:
    step, drive = make_step(params), make_drive(params)
    state: State = (theta, theta_dot, theta, 0.0)
    for torque in torques:
        state = step(state, torque if drive is None else drive(torque))
    return state


@given(st.floats(-4, 4), st.floats(-8, 8), st.lists(torques, max_size=50))
def test_ideal_is_the_simulation_of_2020(theta: float, theta_dot: float, actions: list[float]) -> None:
    expected, expected_dot = theta, theta_dot
    for u in actions:
        expected_dot = expected_dot + (27.0 * np.sin(expected) + 8.0 * u - 2.0 * expected_dot) * 0.05
        expected_dot = np.clip(expected_dot, -20, 20)
        expected = expected + expected_dot * 0.05
    assert run(IDEAL, theta, theta_dot, actions)[:2] == pytest.approx((expected, expected_dot), rel=1e-12)


def reference(theta: float, theta_dot: float, torque: float, periods: int) -> tuple[float, float]:
    """The frictionless pendulum by Runge-Kutta with 1 ms steps."""

    def slope(y: np.ndarray) -> np.ndarray:
        return np.array([y[1], 28.6 * math.sin(y[0]) + 8.0 * torque])

    y, h = np.array([theta, theta_dot]), 0.001
    for _ in range(round(periods * 0.05 / h)):
        a = slope(y)
        b = slope(y + h / 2 * a)
        c = slope(y + h / 2 * b)
        y = y + h / 6 * (a + 2 * b + 2 * c + slope(y + h * c))
    return float(y[0]), float(y[1])


@pytest.mark.parametrize(("theta", "torque"), [(1.0, 0.0), (3.0, 2.0), (2.0, -1.0)])
def test_sub_steps_follow_the_true_solution(theta: float, torque: float) -> None:
    got = run(BARE, theta, 0.0, [torque] * 20)
    assert got[:2] == pytest.approx(reference(theta, 0.0, torque, 20), abs=0.03)
    fine = run(replace(BARE, substeps=50), theta, 0.0, [torque] * 20)
    assert fine[:2] == pytest.approx(reference(theta, 0.0, torque, 20), abs=0.0005)


def test_energy_is_kept_without_friction() -> None:
    def energy(state: State) -> float:
        return 0.5 * state[1] ** 2 + 28.6 * math.cos(state[0])

    states = [run(BARE, 1.0, 0.0, [0.0] * periods) for periods in range(0, 400, 7)]
    assert max(abs(energy(one) - energy(states[0])) for one in states) < 0.15


def test_dry_friction_holds_within_its_angle_and_not_beyond() -> None:
    inside = math.pi + 0.9 * MEASURED.breakaway / MEASURED.gravity
    beyond = math.pi + 1.3 * MEASURED.breakaway / MEASURED.gravity
    assert run(MEASURED, inside, 0.0, [0.0] * 100)[:2] == (inside, 0.0)
    assert run(MEASURED, beyond, 0.0, [0.0] * 10)[0] != beyond


def test_a_swinging_pendulum_comes_to_rest_near_the_bottom() -> None:
    theta, theta_dot, *_ = run(MEASURED, math.pi + 1.5, 0.0, [0.0] * 400)
    assert theta_dot == 0.0
    assert abs(theta - math.pi) < 0.05


def test_friction_only_ever_brakes() -> None:
    speeds = [abs(run(replace(MEASURED, gravity=1e-9), 0.0, 5.0, [0.0] * n)[1]) for n in range(150)]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] == 0.0


def test_torque_comes_after_the_delay() -> None:
    """20 ms of a 50 ms period still have the old torque: the impulse is 3/5 of a full one."""
    floating = replace(BARE, gravity=1e-9)
    whole, late = run(floating, 0, 0, [1.0])[1], run(replace(floating, delay=0.02), 0, 0, [1.0])[1]
    assert late / whole == pytest.approx(0.6)
    odd = run(replace(floating, delay=0.0275), 0, 0, [1.0])[1]
    assert odd / whole == pytest.approx(0.45)


def test_a_delay_of_several_periods() -> None:
    plant = SimPlant(replace(BARE, gravity=1e-9, delay=0.12))
    plant.reset(options={"theta": 0.0})
    speeds = []
    for _ in range(4):
        plant.apply(1.0)
        plant.advance()
        speeds.append(plant.state[1])
    assert speeds[:2] == [pytest.approx(0, abs=1e-6)] * 2
    assert speeds[2] == pytest.approx(8.0 * 0.03)
    assert speeds[3] == pytest.approx(8.0 * 0.08)


def test_the_dead_zone_blocks_small_torques_and_keeps_full_ones() -> None:
    drive = make_drive(RAW_MOTOR)
    assert drive is not None
    assert drive(0.48) == drive(-0.3) == 0.0
    assert drive(2.0) == pytest.approx(2.0)
    assert drive(-2.0) == pytest.approx(-2.0)


def test_the_motor_weakens_with_speed() -> None:
    """At no-load speed the torque is zero, whichever way it pushes along."""
    motor = replace(BARE, gravity=1e-9, no_load_speed=10.0)
    assert run(motor, 0.0, 10.0, [2.0])[1] == pytest.approx(10.0, abs=1e-6)
    assert run(motor, 0.0, 0.0, [2.0] * 400)[1] == pytest.approx(10.0, abs=0.01)


def test_the_encoder_counts_from_hanging() -> None:
    sensor = make_sensor(MEASURED)
    assert sensor is not None
    count = MEASURED.encoder_count
    theta, theta_dot = sensor((math.pi + 3.4 * count, 99.0, math.pi + 1.6 * count, 0.0))
    assert theta == pytest.approx(math.pi + 3 * count)
    assert theta_dot == pytest.approx((3 - 2) * count / MEASURED.velocity_window)


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_the_encoder_rounds_as_python_does(theta: float, opened: float) -> None:
    sensor = make_sensor(MEASURED)
    assert sensor is not None
    count, window = MEASURED.encoder_count, MEASURED.velocity_window
    now, then = round((theta - math.pi) / count), round((opened - math.pi) / count)
    seen, seen_dot = sensor((theta, 0.0, opened, 0.0))
    assert seen == math.pi + now * count
    assert seen_dot == pytest.approx(max(-20.0, min(20.0, (now - then) * count / window)))


def test_an_exact_velocity_is_still_limited_when_reported() -> None:
    sensor = make_sensor(BARE)
    assert sensor is not None
    assert sensor((0.0, 33.0, 0.0, 0.0)) == (0.0, 20.0)
    assert make_sensor(IDEAL) is None


@given(st.floats(-1e6, 1e6))
def test_wrapped_is_the_same_angle_within_a_turn(theta: float) -> None:
    assert -math.pi <= wrapped(theta) < math.pi + 1e-9
    assert math.cos(wrapped(theta)) == pytest.approx(math.cos(theta), abs=1e-6)


def test_the_cost_is_pendulum_v1s() -> None:
    assert cost(math.pi / 2, 3.0, -1.5) == pytest.approx((math.pi / 2) ** 2 + 0.1 * 9 + 0.001 * 2.25)
    assert cost(2 * math.pi + 0.1, 0.0, 0.0) == pytest.approx(0.01)


@pytest.mark.parametrize("params", PRESETS.values(), ids=PRESETS)
def test_parameters_survive_json_form(params: PendulumParams) -> None:
    assert PendulumParams.from_dict(params.as_dict()) == params


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"gravity": 0.0}, "gravity"),
        ({"torque_gain": math.nan}, "torque_gain"),
        ({"coulomb": -1.0}, "coulomb"),
        ({"viscous": math.inf}, "viscous"),
        ({"dead_zone": 2.0}, "dead_zone"),
        ({"breakaway": 0.5}, "breakaway"),
        ({"velocity_window": 0.06}, "velocity_window"),
        ({"substeps": 0}, "substeps"),
        ({"integrator": "rk4"}, "integrator"),
        ({"integrator": "euler"}, "euler"),
    ],
)
def test_impossible_parameters_are_refused_by_name(change: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        PendulumParams.from_dict({**MEASURED.as_dict(), **change})


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="'mass'"):
        PendulumParams.from_dict({"mass": 1.0})


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_randomized_parameters_stay_within_the_spread(seed: int, width: float) -> None:
    spread = {name: width for name in DEFAULT_SPREAD if name != "breakaway"}
    if width == 1.0:
        spread.pop("gravity"), spread.pop("torque_gain"), spread.pop("no_load_speed")
    drawn = randomized(MEASURED, spread, np.random.default_rng(seed))
    for name, one in spread.items():
        nominal = getattr(MEASURED, name)
        assert abs(getattr(drawn, name) - nominal) <= nominal * (one + 1e-12)
    assert drawn.breakaway >= drawn.coulomb
    assert drawn == randomized(MEASURED, spread, np.random.default_rng(seed))


@pytest.mark.parametrize(("spread", "word"), [({"colour": 0.1}, "colour"), ({"gravity": 1.5}, "gravity")])
def test_a_wrong_spread_is_refused(spread: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        randomized(MEASURED, spread, np.random.default_rng(0))
