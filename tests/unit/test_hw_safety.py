"""No user can pass the limits; every trip has a cause that a person can look at."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.motor import FULL_DUTY, Motor, duty_for
from hardware.safety import Limits, Motion, Safety
from raas_gym.dynamics import MAX_TORQUE, MEASURED

wild = st.floats(allow_nan=True, allow_infinity=True)
DT = 0.05


def fresh(**limits: float) -> Safety:
    return Safety(replace(Limits(), **limits), MEASURED)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(wild, st.floats(-10.0, 10.0), st.floats(-60.0, 60.0), st.floats(0.0, 1.0)), max_size=40
    )
)
def test_whatever_comes_in_what_goes_out_is_within_the_limits(
    calls: list[tuple[float, float, float, float]],
) -> None:
    safety, t, tripped = fresh(), 0.0, False
    for command, theta, theta_dot, passed in calls:
        t += passed
        torque = safety.admit(command, Motion(t, theta, theta_dot, t))
        assert math.isfinite(torque)
        assert abs(torque) <= MAX_TORQUE
        if abs(theta_dot) > Limits().overspeed:
            assert torque == 0.0
        tripped = tripped or safety.tripped is not None
        if tripped:
            assert torque == 0.0
            assert safety.tripped


@given(wild, st.floats(0.0, 0.4))
def test_the_duty_is_bounded_and_keeps_the_sign(torque: float, dead_zone: float) -> None:
    duty = duty_for(torque if math.isfinite(torque) else 0.0, dead_zone)
    assert abs(duty) <= FULL_DUTY
    assert duty == 0.0 or (abs(duty) >= dead_zone and math.copysign(1.0, duty) == math.copysign(1.0, torque))


def test_both_inputs_of_the_bridge_are_never_high_together() -> None:
    levels = {"forward": 0.0, "backward": 0.0}
    seen = []

    class Channel:
        def __init__(self, name: str) -> None:
            self.name = name

        def duty(self, share: float) -> None:
            levels[self.name] = share
            seen.append(min(levels.values()))

    motor = Motor(Channel("forward"), Channel("backward"), 0.12)
    for torque in (1.0, -1.0, 2.0, 0.0, -2.0, 2.0):
        motor.drive(torque)
    assert max(seen) == 0.0
    assert levels == {"forward": 0.5, "backward": 0.0}


def test_a_not_a_number_counts_as_zero_and_is_noted_once() -> None:
    safety = fresh()
    for k in range(5):
        assert safety.admit(math.nan, Motion(k * DT, math.pi, 0.0)) == 0.0
    assert safety.interventions() == ["a command was no finite number: it counted as zero"]
    assert safety.interventions() == []


def test_a_full_reversal_passes_and_a_storm_of_them_is_slowed() -> None:
    safety = fresh()
    for k in range(20):  # 20 Hz, the worst a program can ask for, a hold and an action in each tick
        for at in (0.0, 0.001):
            wanted = 2.0 * (-1) ** (k if at else k - 1)
            assert safety.admit(wanted, Motion(k * DT + at, math.pi, 0.0, k * DT)) == wanted
    for k in range(1000):
        safety.admit(2.0 * (-1) ** k, Motion(1.0 + k * 0.001, math.pi, 0.0, 1.0 + k * 0.001))
    assert any("faster than 100 per second" in note for note in safety.interventions())


def test_overspeed_takes_the_torque_until_it_is_slow_again() -> None:
    safety = fresh()
    speeds = [24.5, 25.2, *(24.6 - 0.8 * k for k in range(8))]
    torques = [safety.admit(1.0, Motion(k * DT, 0.0, v, k * DT)) for k, v in enumerate(speeds)]
    assert torques == [1.0 if k == 0 or v < 20.0 else 0.0 for k, v in enumerate(speeds)]
    assert safety.tripped is None


def test_a_motor_that_is_hot_gets_less() -> None:
    safety = fresh(rms_duty=0.3, rms_window_s=5.0)
    torques = [safety.admit(2.0, Motion(k * DT, math.pi + 0.6, 0.0, k * DT)) for k in range(400)]
    assert torques[0] == 2.0
    assert torques[-1] < 1.2
    assert any("RMS duty" in note for note in safety.interventions())


@pytest.mark.parametrize(("theta_dot", "says"), [(40.0, "it turned at 40 rad/s")])
def test_a_runaway_trips(theta_dot: float, says: str) -> None:
    safety = fresh()
    safety.admit(0.0, Motion(0.0, 0.0, theta_dot))
    assert safety.admit(1.0, Motion(DT, 0.0, theta_dot)) == 0.0
    assert says in str(safety.tripped)
    assert safety.admit(1.0, Motion(2 * DT, 0.0, 0.0)) == 0.0, "a trip stays"
    safety.clear()
    assert safety.admit(1.0, Motion(3 * DT, 0.0, 0.0)) == 1.0


def test_an_encoder_that_does_not_move_trips() -> None:
    safety = fresh()
    for k in range(40):
        safety.admit(2.0, Motion(k * DT, math.pi, 0.0, None))
    assert "no encoder edge" in str(safety.tripped)


def test_a_tremble_within_one_count_does_not() -> None:
    safety = fresh()
    for k in range(1000):
        safety.admit(1.0 if k % 40 < 20 else -1.0, Motion(k * 0.002, math.pi, 0.0, 0.0))
    assert safety.tripped is None


def test_a_motor_that_holds_the_rod_against_gravity_does_not() -> None:
    safety, lifted = fresh(), math.pi + math.asin(MEASURED.torque_gain * 2.0 / MEASURED.gravity)
    for k in range(400):
        safety.admit(2.0, Motion(k * DT, lifted, 0.0, 0.0))
    assert safety.tripped is None
