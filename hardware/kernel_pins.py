"""What the kernel does for the pins: which chip is the header's, PWM by sysfs, edges by its rotary encoder.

Numbers of chips change from kernel to kernel and from Pi to Pi, so every chip is known by what it is: a GPIO
chip by its label, a PWM chip by the address of its block.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from hardware.encoder import Edge
from hardware.errors import StartupError, UnhealthyError

_EVENT = struct.Struct("llHHi")
_EV_SYN, _EV_REL = 0, 2
_SYN_DROPPED = 3
_CLOCK_MONOTONIC = 1
_EVIOCSCLOCKID = 0x400445A0


PWM_BLOCKS = {
    "20c000.pwm": {12: 0, 13: 1, 18: 0, 19: 1},
    "1f00098000.pwm": {12: 0, 13: 1, 18: 2, 19: 3},
}
"""The header's PWM block by the end of its device's name (up to the Pi 4; Pi 5), and its channels by pin.

Other blocks time a fan or the sound output."""

GPIO_LABELS = ("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835")
"""The chips of the header: Pi 5, Pi 4, the ones before."""

_GPIO_GET_CHIPINFO = 0x8044B401
_CHIPINFO = struct.Struct("32s32sI")


def header_chip(labels: Mapping[int, str]) -> int | None:
    """The number of the header's GPIO chip among chips with these labels, or None."""
    return next((n for label in GPIO_LABELS for n, seen in sorted(labels.items()) if seen == label), None)


def gpio_labels(devices: Path = Path("/dev")) -> dict[int, str]:
    """The labels of this machine's GPIO chips by number; those that cannot be opened are left out."""
    labels = {}
    for path in devices.glob("gpiochip*"):
        with contextlib.suppress(OSError, ValueError), path.open("rb", buffering=0) as chip:
            info = fcntl.ioctl(chip, _GPIO_GET_CHIPINFO, bytes(_CHIPINFO.size))
            labels[int(path.name[8:])] = _CHIPINFO.unpack(info)[1].split(b"\0")[0].decode("ascii", "replace")
    return labels


def find_pwm(pwm_class: Path, pin: int) -> tuple[Path, int] | None:
    """The chip and channel of a pin's hardware PWM in `/sys/class/pwm`, or None where it is not on."""
    for chip in sorted(pwm_class.glob("pwmchip*")):
        device = chip.resolve().parent.parent.name  # .../fe20c000.pwm/pwm/pwmchip0
        for name, channels in PWM_BLOCKS.items():
            if device.endswith(name) and pin in channels:
                return chip, channels[pin]
    return None


class SysfsPwm:
    """A pin's channel of the PWM block, by the kernel's interface (Documentation/driver-api/pwm.rst)."""

    def __init__(self, pwm_class: Path, pin: int, hertz: int) -> None:
        found = find_pwm(pwm_class, pin)
        if found is None:
            raise StartupError(
                f"no hardware PWM in {pwm_class} for GPIO {pin}: set dtoverlay=pwm-2chan "
                "(hardware/install.sh) or RAAS_PWM=software"
            )
        chip, channel = found
        self._period_ns = round(1e9 / hertz)
        directory = chip / f"pwm{channel}"
        try:
            if not directory.exists():
                (chip / "export").write_text(str(channel))
            # Zero first: a period shorter than an old duty is refused.
            self._duty = os.open(directory / "duty_cycle", os.O_WRONLY)
            os.pwrite(self._duty, b"0", 0)
            (directory / "period").write_text(str(self._period_ns))
            (directory / "enable").write_text("1")
        except OSError as error:
            raise StartupError(
                f"hardware PWM {directory} cannot be used ({error.strerror}): group gpio? sound output off?"
            ) from error

    def duty(self, share: float) -> None:
        """Set the share of the period."""
        os.pwrite(self._duty, str(round(share * self._period_ns)).encode(), 0)

    def close(self) -> None:
        """Low."""
        os.pwrite(self._duty, b"0", 0)
        os.close(self._duty)


class KernelCounter:
    """The kernel's rotary-encoder driver, read as input events with the kernel's own time stamps."""

    def __init__(self, device: Path) -> None:
        try:
            self._file = os.open(device, os.O_RDONLY)
            fcntl.ioctl(self._file, _EVIOCSCLOCKID, struct.pack("i", _CLOCK_MONOTONIC))
        except OSError as error:
            raise StartupError(
                f"the encoder's {device} cannot be read ({error.strerror}): group input?"
            ) from error
        self.illegal = 0
        """How often the kernel had to drop events; of impossible transitions its driver tells nothing."""
        self._edges: deque[Edge] = deque(maxlen=100_000)
        self._lost: OSError | None = None
        # The kernel keeps 64 events at most: a thread of its own empties it.
        threading.Thread(target=self._read, name="encoder", daemon=True).start()

    def drain(self) -> list[Edge]:
        """What the kernel has counted."""
        if self._lost is not None:
            raise UnhealthyError(
                f"the encoder's device is gone ({self._lost.strerror}): restart the controller"
            )
        return [self._edges.popleft() for _ in range(len(self._edges))]

    def close(self) -> None:
        """Stop reading; the thread ends with the next event or with the process."""
        os.close(self._file)

    def _read(self) -> None:
        try:
            while data := os.read(self._file, _EVENT.size * 64):
                self._edges.extend(decode_events(data))
                self.illegal += dropped_events(data)
        except OSError as error:
            self._lost = error


def decode_events(data: bytes) -> list[Edge]:
    """The steps in a run of `struct input_event`; one event may stand for several steps."""
    edges = []
    for seconds, micros, kind, _code, value in _events(data):
        if kind == _EV_REL:
            edges += [Edge(seconds + 1e-6 * micros, 1 if value > 0 else -1)] * abs(value)
    return edges


def dropped_events(data: bytes) -> int:
    """How often in this run the kernel says that its buffer was full and it lost events."""
    return sum(kind == _EV_SYN and code == _SYN_DROPPED for _, _, kind, code, _ in _events(data))


def _events(data: bytes) -> Iterator[tuple[int, ...]]:
    return _EVENT.iter_unpack(data[: len(data) // _EVENT.size * _EVENT.size])


def find_rotary(devices: Path = Path("/proc/bus/input/devices")) -> Path | None:
    """The input device of the kernel's rotary-encoder driver, or None."""
    try:
        blocks = devices.read_text(encoding="utf-8").split("\n\n")
    except OSError:
        return None
    for block in blocks:
        if "rotary" in block and (found := re.search(r"\bevent\d+", block)):
            return Path("/dev/input") / found[0]
    return None
