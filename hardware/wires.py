"""Which pin does what, from the environment (`hardware/wiring/*.env`, written from `wiring.yml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from hardware.errors import StartupError

_VARIABLES = {
    "in1": "RAAS_PIN_IN1",
    "in2": "RAAS_PIN_IN2",
    "enable": "RAAS_PIN_ENABLE",
    "stop": "RAAS_PIN_STOP",
    "encoder_a": "RAAS_PIN_ENCODER_A",
    "encoder_b": "RAAS_PIN_ENCODER_B",
}
RESERVED = {0: "the identification of add-on boards", 1: "the identification of add-on boards"}
LAST_GPIO = 27


@dataclass(frozen=True)
class Wires:
    """GPIO numbers (Broadcom's) of the signals; the defaults are the standard wiring.

    Attributes:
        in1: L298N IN1, forward, PWM.
        in2: L298N IN2, backward, PWM.
        enable: L298N ENA, the guardian's.
        stop: 12 V sense, high while the motor has its supply.
        encoder_a, encoder_b: The encoder's channels.
        pwm: `hardware` (the chip times it) or `software`.
    """

    in1: int = 13
    in2: int = 12
    enable: int = 26
    stop: int = 16
    encoder_a: int = 23
    encoder_b: int = 24
    pwm: str = "hardware"

    def __post_init__(self) -> None:
        pins = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "pwm"}
        for name, pin in pins.items():
            if not 0 <= pin <= LAST_GPIO:
                raise StartupError(f"{_VARIABLES[name]}={pin}: the Pi's header has GPIO 0 to {LAST_GPIO}")
            if pin in RESERVED:
                raise StartupError(
                    f"{_VARIABLES[name]}={pin}: GPIO {pin} serves {RESERVED[pin]}; take another"
                )
            twins = [other for other, taken in pins.items() if taken == pin and other != name]
            if twins:
                raise StartupError(
                    f"{_VARIABLES[name]} and {_VARIABLES[twins[0]]} are both {pin}: one pin, one wire"
                )
        if self.pwm not in ("hardware", "software"):
            raise StartupError(f"RAAS_PWM={self.pwm!r}: use hardware or software")


def wires_from(environment: Mapping[str, str]) -> Wires:
    """The wiring in the environment; what is not named there is as in the standard wiring.

    Raises:
        StartupError: A value is no GPIO number, or used twice.
    """
    values: dict[str, int] = {}
    for name, variable in _VARIABLES.items():
        text = environment.get(variable, "").strip()
        if text and not text.isdecimal():
            raise StartupError(f"{variable}={text!r} is no GPIO number: see hardware/docs/wiring.md")
        if text:
            values[name] = int(text)
    return Wires(**values, pwm=environment.get("RAAS_PWM", "").strip() or "hardware")
