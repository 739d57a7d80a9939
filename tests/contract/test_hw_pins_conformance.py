"""The pins' conformance suite over simulated pins; `make test-pi` runs it over real libraries in QEMU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.claims import PinClaims
from hardware.pins import Levels
from hardware.rig import Rig, SimulatedPins
from hardware.wires import Wires
from tests.pi.conformance import CHECKS, Subject


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_simulated_pins(check: Callable[[Subject], None], tmp_path: Path) -> None:
    shared = tmp_path / "levels"
    wires, levels, rig = Wires(), Levels(shared), Rig()
    elsewhere = (
        "from pathlib import Path; from hardware.claims import PinClaims; from hardware.pins import Levels; "
        "from hardware.rig import Rig, SimulatedPins; from hardware.wires import Wires; "
        f"shared = Path({str(shared)!r}); "
        "pins = SimulatedPins(Rig(), Levels(shared), Wires(), PinClaims(shared))"
    )

    def share(pin: int) -> float:
        return rig._duty[1 if pin == wires.in1 else -1]

    def make() -> SimulatedPins:
        return SimulatedPins(rig, levels, wires, PinClaims(shared))

    check(Subject(make, levels.__getitem__, share, wires, 0.1, elsewhere))
