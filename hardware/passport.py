"""The passport: a robot's versioned calibration, as JSON in the data directory.

What calibration found, with confidence intervals, and what is made of it: the dead-zone compensation of the
motor, and the parameters with which `raas_gym` simulates this very robot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardware.errors import StartupError
from hardware.motor import RESIDUE
from hardware.results import write_durably
from raas_gym.dynamics import MEASURED, TURN, PendulumParams

UNCALIBRATED = "uncalibrated"


class Estimate(BaseModel):
    """A value and the half-width of its 95 % confidence interval, in the value's unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    value: float
    half_width: float = Field(default=0.0, ge=0.0)


class Passport(BaseModel):
    """A calibration. Bounds are what no pendulum of this build can be outside of.

    Units: gravity 1/s², torque_gain rad/s² per unit of action, viscous 1/s, coulomb rad/s², dead_zone as a
    share of duty, delay s, zero in counts of the encoder at the time of the calibration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    version: str = Field(default=UNCALIBRATED, pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$")
    robot: str = ""
    created: str = ""
    software: str = ""
    counts_per_turn: float = Field(default=464.64, ge=16.0, le=100_000.0)
    gravity: Estimate = Estimate(value=MEASURED.gravity)
    torque_gain: Estimate = Estimate(value=MEASURED.torque_gain)
    viscous: Estimate = Estimate(value=MEASURED.viscous)
    coulomb: Estimate = Estimate(value=MEASURED.coulomb)
    no_load_speed: Estimate = Estimate(value=MEASURED.no_load_speed)
    dead_zone_duty: Estimate = Estimate(value=0.12)
    delay: Estimate = Estimate(value=MEASURED.delay)
    zero: Estimate = Estimate(value=0.0)
    held_out_error: float = Field(default=0.0, ge=0.0)
    """RMS error of the prediction on data the fit never saw [counts]."""

    @property
    def dead_zone(self) -> float:
        """The motor's dead zone [duty]."""
        return self.dead_zone_duty.value

    @property
    def zero_counts(self) -> float:
        """The count at which the rod hangs."""
        return self.zero.value

    def public(self, dt: float) -> dict[str, Any]:
        """What specs and trajectories say of it, ready for JSON; `parameters` are those of `params(dt)`."""
        values = {name: getattr(self, name).value for name in BOUNDS}
        half_widths = {name: getattr(self, name).half_width for name in BOUNDS}
        limits = {name: list(bounds) for name, bounds in BOUNDS.items()}
        parameters = self.params(dt).as_dict()
        about = {"plant": "hardware", "robot": self.robot, "version": self.version, "created": self.created}
        return {**about, **values, "half_widths": half_widths, "limits": limits, "parameters": parameters}

    def params(self, dt: float = MEASURED.dt) -> PendulumParams:
        """This robot's simulation at control period `dt` [s], behind its dead-zone compensation.

        `gymnasium.make("RaasPendulum-v1", params=load_passport(path).params())` simulates this very robot.
        """
        breakaway = MEASURED.breakaway / MEASURED.coulomb * self.coulomb.value
        return replace(
            MEASURED,
            gravity=self.gravity.value,
            torque_gain=self.torque_gain.value,
            viscous=self.viscous.value,
            coulomb=self.coulomb.value,
            breakaway=breakaway,
            dead_zone=RESIDUE,
            no_load_speed=self.no_load_speed.value,
            delay=self.delay.value,
            encoder_count=TURN / self.counts_per_turn,
            dt=dt,
            velocity_window=min(MEASURED.velocity_window, dt),
            substeps=max(1, round(dt / 0.01)),
        )


BOUNDS = {
    "gravity": (5.0, 200.0),
    "torque_gain": (0.5, 100.0),
    "viscous": (0.0, 10.0),
    "coulomb": (0.0, 10.0),
    "no_load_speed": (5.0, 500.0),
    "dead_zone_duty": (0.0, 0.4),
    "delay": (0.0, 0.2),
}
"""What a passport may say; outside of it no pendulum of this kind exists."""


def schema() -> dict[str, Any]:
    """The JSON Schema of a passport's file, bounds included; `hardware/passport.schema.json` is a copy."""
    made = Passport.model_json_schema()
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
    for name, (low, high) in BOUNDS.items():
        bounds = {"properties": {"value": {"minimum": low, "maximum": high}}}
        made["properties"][name] = {**made["properties"][name], **bounds}
    return made


def problem_of(passport: Passport) -> str | None:
    """Why a passport describes no pendulum, or None."""
    for name, (low, high) in BOUNDS.items():
        value = getattr(passport, name).value
        if not low <= value <= high:
            return f"{name} is {value:g}, outside of {low:g} to {high:g}"
    return None


def uncalibrated(environment: Mapping[str, str]) -> Passport:
    """What is assumed before the first calibration: the reference build, with the encoder's counts as set.

    Raises:
        StartupError: `RAAS_COUNTS_PER_TURN` is no such number.
    """
    text = environment.get("RAAS_COUNTS_PER_TURN", "").strip()
    try:
        return Passport(counts_per_turn=float(text)) if text else Passport()
    except ValueError as error:
        raise StartupError(
            f"RAAS_COUNTS_PER_TURN={text}: use the counts of one turn of the rod, 16 to 100000, like 464.64"
        ) from error


def load_passport(path: Path) -> Passport:
    """The passport in `path`; the uncalibrated one where there is none.

    Raises:
        StartupError: It is damaged, absurd, incomplete, or of a future version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        passport = Passport.model_validate(data)
    except FileNotFoundError:
        return uncalibrated(os.environ)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise StartupError(
            f"passport {path}: {where}: {first['msg']}; calibrate anew or remove it"
        ) from error
    except (OSError, ValueError) as error:
        raise StartupError(
            f"passport {path} cannot be read ({error}): calibrate anew or remove it"
        ) from error
    if (problem := problem_of(passport)) is not None:
        raise StartupError(f"passport {path}: {problem}; calibrate anew or remove it")
    if missing := [name for name in Passport.model_fields if name not in data]:
        raise StartupError(f"passport {path}: {missing[0]} is missing; calibrate anew or remove it")
    return passport


def save_passport(directory: Path, passport: Passport) -> Path:
    """Put a passport in force; the former ones stay beside it by version."""
    directory.mkdir(parents=True, exist_ok=True)
    write_durably(directory / f"{passport.version}.json", passport.model_dump())
    write_durably(directory / "current.json", passport.model_dump())
    return directory / "current.json"
