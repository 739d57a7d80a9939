"""Pins: the only file that names a GPIO library.

    RPi.GPIO    every Pi up to 4 on kernels before 6.6; elsewhere its drop-in rpi-lgpio (same interface)
    sysfs PWM   where `dtoverlay=pwm-2chan` is on: the chip times the pulses
    evdev       where `dtoverlay=rotary-encoder` is on: the kernel counts the encoder's edges
    simulated   a rig behind simulated pins (`hardware.rig`), levels in shared memory

`open_pins` chooses what the machine has; `--pins` overrides it; `doctor` reports it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import mmap
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from hardware.claims import PinClaims
from hardware.encoder import Edge, QuadratureDecoder
from hardware.errors import StartupError
from hardware.kernel_pins import KernelCounter, SysfsPwm, find_pwm, find_rotary, gpio_labels, header_chip
from hardware.wires import Wires

PWM_HZ = 1000
"""The motor's PWM frequency [Hz]: 20 ms of delay stay 20 ms, and the L298N switches it without heat."""

KINDS = ("auto", "gpio", "simulated")


class Pwm(Protocol):
    """A pin that is high for a share of the time."""

    def duty(self, share: float) -> None:
        """Set the share, 0 to 1; 0 is low all the time."""


class Counter(Protocol):
    """The encoder's two channels."""

    @property
    def illegal(self) -> int:
        """Impossible transitions so far: lost edges or a broken wire."""

    def drain(self) -> list[Edge]:
        """The edges since the last call, oldest first, with monotonic times."""


class Pins(Protocol):
    """A set of pins, each taken once on the whole machine. `close` leaves every output low."""

    @property
    def backend(self) -> str:
        """What drives the pins, for people."""

    def pwm(self, pin: int) -> Pwm:
        """Take a pin for PWM."""

    def output(self, pin: int) -> Callable[[bool], None]:
        """Take a pin as an output, low; the function sets its level."""

    def input(self, pin: int) -> Callable[[], bool]:
        """Take a pin as an input with a pull-down; the function reads its level."""

    def counter(self, a: int, b: int) -> Counter:
        """Take two pins as the encoder's channels."""

    def lower(self, pin: int) -> None:
        """Make an output low that nobody holds, and give it back.

        Raises:
            StartupError: Somebody holds it.
        """

    def close(self) -> None:
        """Outputs low, pins free."""


def open_pins(wires: Wires) -> Pins:
    """The real pins of this machine.

    Raises:
        StartupError: It has none, or they cannot be used.
    """
    chip = header_chip(gpio_labels())
    if chip is not None:  # rpi-lgpio knows the chips of its own day only, and else takes number 0
        os.environ.setdefault("RPI_LGPIO_CHIP", str(chip))
    try:
        gpio = importlib.import_module("RPi.GPIO")  # only a Pi has it
    except ImportError as error:
        raise StartupError(
            "no GPIO library here: pip install 'raas-gym[hardware]' on a Raspberry Pi"
        ) from error
    except RuntimeError as error:
        raise StartupError(f"this is no Raspberry Pi ({error}): use --pins simulated") from error
    device = None if chip is None else Path(f"/dev/gpiochip{chip}")
    return GpioPins(gpio, wires, PinClaims(device))


def _library(gpio: Any) -> str:
    """The library by its own name: rpi-lgpio calls itself RPi.GPIO, and says its version nowhere else."""
    if not hasattr(gpio, "lgpio"):
        return f"RPi.GPIO {gpio.VERSION}"
    try:
        return f"rpi-lgpio {importlib.metadata.version('rpi-lgpio')}"
    except importlib.metadata.PackageNotFoundError:
        return "rpi-lgpio"


def describe(wires: Wires, pwm_class: Path = Path("/sys/class/pwm")) -> list[tuple[bool, str]]:
    """What this machine offers for pins, without taking any: (good, sentence) each."""
    name = "rpi-lgpio" if importlib.util.find_spec("lgpio") else "RPi.GPIO"
    library = name if importlib.util.find_spec("RPi") else None
    rotary = find_rotary()
    pwm = [find_pwm(pwm_class, pin) for pin in (wires.in1, wires.in2)]
    found = [
        (
            bool(library),
            f"GPIO library {library}" if library else "no GPIO library: pip install 'raas-gym[hardware]'",
        ),
        (True, f"edges counted by the kernel, {rotary}" if rotary else "edges counted by callbacks"),
    ]
    if wires.pwm == "hardware":
        missing = "no hardware PWM: set dtoverlay=pwm-2chan (hardware/install.sh) or RAAS_PWM=software"
        there = ", ".join(f"{chip.name}/pwm{channel}" for chip, channel in filter(None, pwm))
        found.append((all(pwm), f"hardware PWM {there}" if all(pwm) else missing))
    return found


class GpioPins:
    """RPi.GPIO or rpi-lgpio, with sysfs PWM and the kernel's quadrature decoder where they are on."""

    def __init__(
        self, gpio: Any, wires: Wires, claims: PinClaims, pwm_class: Path = Path("/sys/class/pwm")
    ) -> None:
        self._gpio = gpio
        self._claims = claims
        self._taken: list[int] = []
        self._outputs: list[int] = []
        self._closers: list[Callable[[], None]] = []
        self._pwm_class = pwm_class if wires.pwm == "hardware" else None
        self._rotary = find_rotary()
        gpio.setmode(gpio.BCM)
        # A pin in use by another process shows as a warning or an error of the library: both are final.
        gpio.setwarnings(False)

    @property
    def backend(self) -> str:
        """Library, PWM and edge counting in use."""
        pwm = "hardware PWM" if self._pwm_class else "software PWM"
        return f"{_library(self._gpio)}, {pwm}, edges by {'the kernel' if self._rotary else 'callbacks'}"

    def pwm(self, pin: int) -> Pwm:
        """Hardware PWM by sysfs where the wiring says so, software PWM elsewhere."""
        self._claims.take(pin)
        if self._pwm_class is not None:
            channel = SysfsPwm(self._pwm_class, pin, PWM_HZ)
            self._closers.append(channel.close)
            return channel
        self._setup(pin, self._gpio.OUT, initial=self._gpio.LOW)
        software = self._gpio.PWM(pin, PWM_HZ)
        software.start(0.0)
        self._closers.append(lambda: _end(software))
        self._outputs.append(pin)
        return _SoftwarePwm(software)

    def output(self, pin: int) -> Callable[[bool], None]:
        """An output, low at first."""
        self._setup(pin, self._gpio.OUT, initial=self._gpio.LOW)
        self._outputs.append(pin)
        return lambda high: self._gpio.output(pin, high)

    def input(self, pin: int) -> Callable[[], bool]:
        """An input with the pull-down on."""
        self._setup(pin, self._gpio.IN, pull_up_down=self._gpio.PUD_DOWN)
        return lambda: bool(self._gpio.input(pin))

    def counter(self, a: int, b: int) -> Counter:
        """The kernel's decoder where it is on: it loses no edge. Else callbacks on both channels."""
        for pin in (a, b):
            self._claims.take(pin)
        if self._rotary is not None:
            counter = KernelCounter(self._rotary)
            self._closers.append(counter.close)
            return counter
        for pin in (a, b):
            self._setup(pin, self._gpio.IN, pull_up_down=self._gpio.PUD_OFF)
        counter_ = CallbackCounter(lambda: (self._gpio.input(a), self._gpio.input(b)))
        try:
            for pin in (a, b):
                self._gpio.add_event_detect(pin, self._gpio.BOTH, callback=counter_.on_edge)
        except RuntimeError as error:
            raise StartupError(
                f"this kernel reports no edges to {_library(self._gpio)} ({error}): set "
                "dtoverlay=rotary-encoder (hardware/install.sh) or install rpi-lgpio"
            ) from error
        return counter_

    def lower(self, pin: int) -> None:
        """Low, and free again: from there on its pull-down holds it."""
        self.output(pin)
        self._outputs.remove(pin)
        self._taken.remove(pin)
        self._gpio.cleanup([pin])
        self._claims.give(pin)

    def close(self) -> None:
        """Everything low and free."""
        while self._closers:
            self._closers.pop()()
        # A released pin may keep its level where no resistor pulls it.
        while self._outputs:
            self._gpio.output(self._outputs.pop(), False)
        if self._taken:
            self._gpio.cleanup(self._taken)
            self._taken.clear()
        self._claims.close()

    def _setup(self, pin: int, direction: int, **options: int) -> None:
        self._claims.take(pin)
        try:
            self._gpio.setup(pin, direction, **options)
        except Exception as error:  # each library has its own kinds
            raise StartupError(
                f"GPIO {pin} cannot be used ({error}): another program holds it, or the settings are wrong"
            ) from error
        self._taken.append(pin)


def _end(software: Any) -> None:
    """Stop a software PWM; RPi.GPIO's thread still ends its period by itself, with the pin high perhaps."""
    software.ChangeDutyCycle(0.0)
    software.stop()
    time.sleep(20 / PWM_HZ)


class _SoftwarePwm:
    def __init__(self, pwm: Any) -> None:
        self._pwm = pwm

    def duty(self, share: float) -> None:
        self._pwm.ChangeDutyCycle(100.0 * share)


class CallbackCounter:
    """Edges by the GPIO library's callbacks: levels are read in the callback, decoded in `drain`."""

    def __init__(self, read: Callable[[], tuple[int, int]]) -> None:
        self._read = read
        self._decoder = QuadratureDecoder(*read())
        self._seen: deque[tuple[float, int, int]] = deque(maxlen=100_000)

    @property
    def illegal(self) -> int:
        """Impossible transitions so far."""
        return self._decoder.illegal

    def on_edge(self, _pin: int) -> None:
        """What the library calls, on a thread of its own."""
        self._seen.append((time.monotonic(), *self._read()))

    def drain(self) -> list[Edge]:
        """Decode what was seen."""
        edges = []
        for _ in range(len(self._seen)):
            t, a, b = self._seen.popleft()
            if step := self._decoder.feed(a, b):
                edges.append(Edge(t, step))
        return edges


class Levels:
    """Levels of simulated pins, a byte each, in a file that several processes map (or in memory alone).

    Like a real pin, a level outlives the process that set it.
    """

    def __init__(self, path: Path | None) -> None:
        size = 64
        if path is None:
            self._map = mmap.mmap(-1, size)
            return
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o660), "r+b") as file:
            if os.fstat(file.fileno()).st_size < size:
                os.ftruncate(file.fileno(), size)
            self._map = mmap.mmap(file.fileno(), size)

    def __getitem__(self, pin: int) -> bool:
        return bool(self._map[pin])

    def __setitem__(self, pin: int, high: bool) -> None:
        self._map[pin] = int(high)
