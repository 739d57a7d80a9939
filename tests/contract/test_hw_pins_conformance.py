"""The pins' conformance suite over simulated pins; `make test-pi` runs the same over RPi.GPIO in QEMU."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hardware.pins import Levels
from hardware.rig import Rig, SimulatedPins
from hardware.wires import Wires
from tests.pi.conformance import CHECKS, Subject


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_simulated_pins(check: Callable[[Subject], None]) -> None:
    wires, levels, rig = Wires(), Levels(None), Rig()

    def share(pin: int) -> float:
        return rig._duty[1 if pin == wires.in1 else -1]

    check(Subject(lambda: SimulatedPins(rig, levels, wires), levels.__getitem__, share, wires, 0.1))
