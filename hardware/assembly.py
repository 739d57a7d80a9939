"""Puts a robot together from what the command line and the environment say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from hardware import guardian as guarding
from hardware.claims import PinClaims
from hardware.display import Display, open_matrix
from hardware.errors import StartupError
from hardware.pendulum import Pendulum
from hardware.pins import Levels, Pins, open_pins
from hardware.plant import Parts
from hardware.rig import Clock, Faults, Rig, SimulatedPins
from hardware.robot import Robot, SimulatedRobot
from hardware.wires import wires_from


def robot(
    name: str,
    data: Path,
    *,
    plant: str,
    pins: str,
    faults: Sequence[str],
    env_ids: Sequence[str],
    dt: float,
    guardian: Path,
    levels: Path | None,
) -> Robot:
    """The robot to serve.

    Raises:
        StartupError: A setting is wrong, or the pins cannot be used.
    """
    if plant == "simulated":
        return SimulatedRobot(name, dt, env_ids)
    wires = wires_from(os.environ)
    simulated = pins == "simulated"
    chosen: Pins
    if simulated:
        # Without a shared file of levels there is no guardian to speak of: the enable line is always high.
        shared = None if levels is None else Levels(levels)
        rig = Rig(enabled=lambda: shared is None or shared[wires.enable])
        switch_on(rig.faults, faults)
        chosen = SimulatedPins(rig, shared or Levels(None), wires, PinClaims(levels))
    else:
        chosen = open_pins(wires)
    matrix = None if simulated else open_matrix()
    guarded = not simulated or levels is not None
    return Pendulum(
        name,
        Parts(chosen, wires, Clock(), guardian if guarded else None),
        data / "passports",
        dt=dt,
        env_ids=env_ids,
        simulated=simulated,
        display=None if matrix is None else Display(matrix),
    )


def guard(pins: str, path: Path, levels: Path | None) -> None:
    """Run the guardian on the enable line until SIGTERM.

    Raises:
        StartupError: Socket or pin cannot be used.
    """
    wires = wires_from(os.environ)
    if pins == "simulated":
        if levels is None:
            raise StartupError("simulated pins need --levels, the file that the controller's rig reads")
        chosen: Pins = SimulatedPins(Rig(), Levels(levels), wires, PinClaims(levels))
    else:
        chosen = open_pins(wires)
    try:
        guarding.serve(path, chosen.output(wires.enable))
    finally:
        chosen.close()


def switch_on(faults: Faults, wanted: Sequence[str]) -> None:
    """Switch on faults given as `name` or `name=value`.

    Raises:
        StartupError: There is no such fault.
    """
    known = {field.name for field in fields(Faults)}
    for text in wanted:
        name, _, value = text.partition("=")
        if name not in known:
            raise StartupError(f"no fault is called {name!r}: choose from {', '.join(sorted(known))}")
        try:
            setattr(faults, name, float(value) if value else True)
        except ValueError as error:
            raise StartupError(f"--fault {text}: the value must be a number") from error
