"""What the kernel does for the pins: PWM by its sysfs interface, edges by its rotary-encoder driver."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import threading
from collections import deque
from pathlib import Path

from hardware.encoder import Edge
from hardware.errors import StartupError, UnhealthyError

_EVENT = struct.Struct("llHHi")
_EV_REL = 2
_CLOCK_MONOTONIC = 1
_EVIOCSCLOCKID = 0x400445A0


PWM_CHANNELS = {12: 0, 13: 1, 18: 0, 19: 1}
"""The two channels of `dtoverlay=pwm-2chan` by pin (on a Pi 5, 18 and 19 are 2 and 3: see `SysfsPwm`)."""


class SysfsPwm:
    """One channel of the PWM block, by the kernel's interface (Documentation/driver-api/pwm.rst)."""

    def __init__(self, pwm_class: Path, channel: int | None, hertz: int) -> None:
        chips = sorted(pwm_class.glob("pwmchip*"))
        if channel is None or not chips:
            raise StartupError(
                f"no hardware PWM in {pwm_class} for this pin: set dtoverlay=pwm-2chan (hardware/install.sh) "
                "or RAAS_PWM=software"
            )
        self._period_ns = round(1e9 / hertz)
        directory = chips[0] / f"pwm{channel}"
        try:
            if not directory.exists():
                (chips[0] / "export").write_text(str(channel))
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

    illegal = 0  # the driver tells nothing of transitions that it could not make sense of

    def __init__(self, device: Path) -> None:
        try:
            self._file = os.open(device, os.O_RDONLY)
            fcntl.ioctl(self._file, _EVIOCSCLOCKID, struct.pack("i", _CLOCK_MONOTONIC))
        except OSError as error:
            raise StartupError(
                f"the encoder's {device} cannot be read ({error.strerror}): group input?"
            ) from error
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
        except OSError as error:
            self._lost = error


def decode_events(data: bytes) -> list[Edge]:
    """The steps in a run of `struct input_event`; one event may stand for several steps."""
    edges = []
    for seconds, micros, kind, _code, value in _EVENT.iter_unpack(
        data[: len(data) // _EVENT.size * _EVENT.size]
    ):
        if kind == _EV_REL:
            edges += [Edge(seconds + 1e-6 * micros, 1 if value > 0 else -1)] * abs(value)
    return edges


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
