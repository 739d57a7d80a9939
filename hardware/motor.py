"""The motor behind its L298N: a torque in, duty of one of two inputs out.

Torques are actions: 2 is full drive, which is 50 % duty (the robot of 2020; the motor is sized for it). The
bridge drops about 2 V and the gears stick, so that duties below the dead zone move nothing. What the passport
found of it is added to every command; a residue stays uncompensated, because a dead zone over-compensated by
a hair makes the motor hum to and fro around zero.
"""

from __future__ import annotations

import math

from hardware.pins import Pwm
from raas_gym.dynamics import MAX_TORQUE

FULL_DUTY = 0.5
"""Duty at full action."""

DUTY_PER_ACTION = FULL_DUTY / MAX_TORQUE

RESIDUE = 0.05
"""The dead zone left to the environment [action]; `raas_gym.dynamics.MEASURED` has the same."""


def duty_for(torque: float, dead_zone: float) -> float:
    """The duty, signed, that gives `torque` behind the bridge.

    Args:
        torque: Action within ±2.
        dead_zone: Duty below which the motor does not move, 0 to 0.4.

    Returns:
        0 within the residue; else from just above the dead zone to 50 % at full action.
    """
    size = abs(torque)
    if size <= RESIDUE:
        return 0.0
    share = (min(size, MAX_TORQUE) - RESIDUE) / (MAX_TORQUE - RESIDUE)
    return math.copysign(dead_zone + (FULL_DUTY - dead_zone) * share, torque)


class Motor:
    """Two PWM inputs of the bridge, of which one at most is ever high.

    Args:
        forward, backward: The pins.
        dead_zone: From the passport [duty].
    """

    def __init__(self, forward: Pwm, backward: Pwm, dead_zone: float) -> None:
        self._forward = forward
        self._backward = backward
        self.dead_zone = dead_zone
        self.off()

    def drive(self, torque: float) -> float:
        """Command a torque; returns the duty, signed."""
        return self.duty(duty_for(torque, self.dead_zone))

    def duty(self, duty: float) -> float:
        """Command a raw duty within ±0.5: for calibration."""
        duty = max(-FULL_DUTY, min(FULL_DUTY, duty))
        # The resting input goes low first: both high would short the motor.
        if duty >= 0:
            self._backward.duty(0.0)
            self._forward.duty(duty)
        else:
            self._forward.duty(0.0)
            self._backward.duty(-duty)
        return duty

    def off(self) -> None:
        """Both inputs low."""
        self._forward.duty(0.0)
        self._backward.duty(0.0)
