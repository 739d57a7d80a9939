"""Pins: wiring settings, the kernel's interfaces on ordinary files, callbacks, levels of simulated pins."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.claims import PinClaims
from hardware.errors import StartupError
from hardware.kernel_pins import (
    SysfsPwm,
    decode_events,
    dropped_events,
    find_pwm,
    find_rotary,
    gpio_labels,
    header_chip,
)
from hardware.pins import CallbackCounter, GpioPins, Levels, open_pins
from hardware.wires import Wires, wires_from

WIRING = Path(__file__).parents[2] / "hardware" / "wiring"


@pytest.mark.parametrize("profile", ["standard", "original-2020"])
def test_the_published_wirings_are_accepted(profile: str) -> None:
    lines = (WIRING / f"{profile}.env").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if line.startswith("RAAS_"))
    wires = wires_from(environment)
    assert wires.in1 == 13
    assert (profile == "standard") == (wires == Wires())


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"RAAS_PIN_IN1": "99"}, "RAAS_PIN_IN1=99: the Pi's header has GPIO 0 to 27"),
        ({"RAAS_PIN_IN1": "twelve"}, "'twelve' is no GPIO number"),
        ({"RAAS_PIN_IN1": "12"}, "are both 12: one pin, one wire"),
        ({"RAAS_PIN_STOP": "0"}, "identification of add-on boards"),
        ({"RAAS_PWM": "magic"}, "use hardware or software"),
    ],
)
def test_wrong_wiring_is_one_sentence(environment: dict[str, str], says: str) -> None:
    with pytest.raises(StartupError, match=says):
        wires_from(environment)


def pwm_class(root: Path, device: str = "soc/fe20c000.pwm", chip: str = "pwmchip0", channel: int = 1) -> Path:
    """/sys/class/pwm with one chip, linked into its device as the kernel does it; the channel's directory."""
    real = root / "devices" / device / "pwm" / chip
    (real / f"pwm{channel}").mkdir(parents=True)
    for name in ("duty_cycle", "period", "enable"):
        (real / f"pwm{channel}" / name).write_text("")
    (root / chip).symlink_to(real)
    return real / f"pwm{channel}"


@pytest.mark.parametrize(
    ("device", "pin", "channel"),
    [
        ("soc/3f20c000.pwm", 12, 0),
        ("soc/fe20c000.pwm", 13, 1),
        ("soc/fe20c000.pwm", 18, 0),
        ("axi/1000120000.pcie/1f00098000.pwm", 12, 0),
        ("axi/1000120000.pcie/1f00098000.pwm", 18, 2),
        ("axi/1000120000.pcie/1f00098000.pwm", 19, 3),
    ],
)
def test_the_headers_pwm_is_known_by_its_block(tmp_path: Path, device: str, pin: int, channel: int) -> None:
    pwm_class(tmp_path, "soc/107d517a80.pwm", "pwmchip0")  # a Pi 5's fan, and the first chip there
    pwm_class(tmp_path, "soc/fe20c800.pwm", "pwmchip1")  # a Pi 4's sound
    assert find_pwm(tmp_path, pin) is None
    pwm_class(tmp_path, device, "pwmchip2", channel)
    assert find_pwm(tmp_path, pin) == (tmp_path / "pwmchip2", channel)
    assert find_pwm(tmp_path, 17) is None


@pytest.mark.parametrize(
    ("labels", "chip"),
    [
        ({0: "pinctrl-bcm2835"}, 0),
        ({0: "pinctrl-bcm2711", 1: "raspberrypi-exp-gpio"}, 0),
        ({0: "brcmvirt-gpio", 4: "pinctrl-rp1", 10: "gpio-brcmstb@107d508500"}, 4),
        ({0: "pinctrl-rp1", 10: "gpio-brcmstb@107d508500"}, 0),
        ({0: "INT34C5:00"}, None),
        ({}, None),
    ],
)
def test_the_headers_gpio_chip_is_known_by_its_label(labels: dict[int, str], chip: int | None) -> None:
    assert header_chip(labels) == chip


def test_what_is_no_gpio_chip_has_no_label(tmp_path: Path) -> None:
    (tmp_path / "gpiochip0").write_bytes(b"an ordinary file")
    (tmp_path / "gpiochipmunk").symlink_to("/dev/null")
    assert gpio_labels(tmp_path) == {}


class BusyLibrary:
    """A GPIO library as it behaves where another program holds every pin (rpi-lgpio's words)."""

    BCM = OUT = LOW = IN = PUD_DOWN = PUD_OFF = 0

    def setmode(self, _mode: int) -> None: ...

    def setwarnings(self, _on: bool) -> None: ...

    def setup(self, _pin: int, _direction: int, **_options: int) -> None:
        raise RuntimeError("GPIO busy")


def test_pins_in_use_are_one_sentence() -> None:
    pins = GpioPins(BusyLibrary(), Wires(pwm="software"), PinClaims(None))
    takes = (
        lambda: pins.pwm(13),
        lambda: pins.output(26),
        lambda: pins.input(16),
        lambda: pins.counter(23, 24),
    )
    for take in takes:
        with pytest.raises(
            StartupError, match=r"GPIO \d+ cannot be used \(GPIO busy\): another program holds"
        ):
            take()
    pins.close()


def test_hardware_pwm_writes_what_the_kernel_expects(tmp_path: Path) -> None:
    channel = pwm_class(tmp_path)
    pwm = SysfsPwm(tmp_path, 13, 1000)
    assert (channel / "period").read_text() == "1000000"
    assert (channel / "enable").read_text() == "1"
    pwm.duty(0.5)
    assert (channel / "duty_cycle").read_text() == "500000"
    pwm.close()
    assert (channel / "duty_cycle").read_text().startswith("0")


def test_no_hardware_pwm_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="dtoverlay=pwm-2chan"):
        SysfsPwm(tmp_path, 13, 1000)


def test_the_kernels_events_become_edges() -> None:
    event = struct.Struct("llHHi")
    data = b"".join(
        event.pack(12, micros, kind, 0, value) for micros, kind, value in [(5, 2, 1), (5, 0, 0), (9, 2, -2)]
    )
    assert dropped_events(data) == 0
    assert dropped_events(data + event.pack(13, 0, 0, 3, 0)) == 1, "SYN_DROPPED: the kernel's buffer was full"
    edges = decode_events(data + b"torn")
    assert [edge.step for edge in edges] == [1, -1, -1]
    assert edges[0].t == pytest.approx(12.000005)


def test_the_rotary_device_is_found_by_its_name(tmp_path: Path) -> None:
    listing = tmp_path / "devices"
    listing.write_text(
        'I: Bus=0019\nN: Name="gpio-keys"\nH: Handlers=kbd event0\n\n'
        'I: Bus=0019\nN: Name="rotary@17"\nH: Handlers=event3\n\n'
    )
    assert find_rotary(listing) == Path("/dev/input/event3")
    listing.write_text('N: Name="gpio-keys"\nH: Handlers=event0\n')
    assert find_rotary(listing) is None
    assert find_rotary(tmp_path / "missing") is None


def test_callbacks_are_decoded_when_drained() -> None:
    levels = [(0, 0)]
    counter = CallbackCounter(lambda: levels[0])
    for pair in [(1, 0), (1, 1), (0, 1), (1, 1), (0, 0)]:
        levels[0] = pair
        counter.on_edge(0)
    assert [edge.step for edge in counter.drain()] == [1, 1, 1, -1]
    assert counter.illegal == 1
    assert counter.drain() == []


def test_a_level_outlives_the_process_that_set_it(tmp_path: Path) -> None:
    path = tmp_path / "levels"
    levels = Levels(path)
    assert not levels[26]
    script = f"import os; from hardware.pins import Levels; Levels({str(path)!r})[26] = True; os._exit(9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    assert levels[26]


def test_a_machine_without_pins_says_what_to_do() -> None:
    with pytest.raises(StartupError, match=r"GPIO library|no Raspberry Pi"):
        open_pins(Wires())
