"""What every set of pins must do: one list of checks for simulated pins and for real GPIO code.

`tests/contract/test_hw_pins_conformance.py` runs it over simulated pins, `tests/pi/guest.py` in an emulated
Raspberry Pi over RPi.GPIO and over rpi-lgpio, with the chip's level register as an independent witness.
Standard library only.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from hardware.errors import StartupError
from hardware.guardian import Guardian
from hardware.heartbeat import ARMED, TRIPPED, GuardianLink
from hardware.kernel_pins import KernelCounter, find_rotary
from hardware.pins import Counter, Pins
from hardware.wires import Wires
from tests.pi.uinput import rotary

BURST = [1, 1, 1, 1, -1, 1, 1, 1, -1, 1]


@dataclass(frozen=True)
class Subject:
    """A set of pins and its witness.

    Attributes:
        make: Opens the pins.
        level: The level of a pin, not asked of the library that drives it.
        share: The share of the time for which a PWM pin is high.
        limit_s: How fast the enable line must fall [s].
        elsewhere: A program for another process: it opens the same pins as `pins`.
    """

    make: Callable[[], Pins]
    level: Callable[[int], bool]
    share: Callable[[int], float]
    wires: Wires
    limit_s: float
    elsewhere: str


@contextmanager
def opened(subject: Subject) -> Iterator[Pins]:
    pins = subject.make()
    try:
        yield pins
    finally:
        pins.close()


def backend_has_a_name(subject: Subject) -> None:
    with opened(subject) as pins:
        assert len(pins.backend) > 5
        print(f"    {pins.backend}")


def output_is_low_until_set_and_low_after_close(subject: Subject) -> None:
    pin = subject.wires.enable
    with opened(subject) as pins:
        write = pins.output(pin)
        assert not subject.level(pin)
        write(True)
        assert subject.level(pin)
        write(False)
        assert not subject.level(pin)
        write(True)
    assert not subject.level(pin)


def pwm_follows_the_duty(subject: Subject) -> None:
    pin = subject.wires.in1
    with opened(subject) as pins:
        pwm = pins.pwm(pin)
        assert subject.share(pin) == 0.0
        for duty in (0.5, 0.25, 0.0):
            pwm.duty(duty)
            shares: list[float] = []
            while len(shares) < 5 and not any(abs(share - duty) < 0.1 for share in shares):
                shares.append(subject.share(pin))
            assert abs(shares[-1] - duty) < 0.1, f"duty {duty} is high for {shares} of the time"
        pwm.duty(0.5)
    assert subject.share(pin) == 0.0


def input_can_be_read(subject: Subject) -> None:
    with opened(subject) as pins:
        assert pins.input(subject.wires.stop)() in (True, False)


def counter_of_a_resting_shaft_is_silent(subject: Subject) -> None:
    with opened(subject) as pins:
        counter = _counter(pins, subject.wires)
        if isinstance(counter, str):  # a kernel without edge detection: refused in a sentence that helps
            assert "dtoverlay=rotary-encoder" in counter
            print(f"    {counter}")
            return
        time.sleep(0.2)  # long enough for an edge that is not there
        assert counter.drain() == []
        assert counter.illegal == 0


def _counter(pins: Pins, wires: Wires) -> Counter | str:
    try:
        return pins.counter(wires.encoder_a, wires.encoder_b)
    except StartupError as error:
        return str(error)


def pins_can_be_taken_again(subject: Subject) -> None:
    for _ in range(3):
        output_is_low_until_set_and_low_after_close(subject)


def pins_of_another_process_are_left_alone(subject: Subject) -> None:
    """Refused while it lives or is stopped; taken down by whoever comes after its death."""
    pin = subject.wires.enable
    hold = f"{subject.elsewhere}; pins.output({pin})(True); print('held', flush=True); input()"
    with (
        subprocess.Popen([sys.executable, "-c", hold], stdin=PIPE, stdout=PIPE) as holder,
        holder_ends(holder),
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with opened(subject) as pins:
            for signalled in (None, signal.SIGSTOP):
                if signalled is not None:
                    holder.send_signal(signalled)
                _refused(lambda: pins.output(pin))
                _refused(lambda: pins.lower(pin))
                assert subject.level(pin), "and untouched"
            holder.kill()
            holder.wait()
            print(f"    after kill -9 the line is {'still up' if subject.level(pin) else 'down'}")
            pins.lower(pin)
            assert not subject.level(pin)
            pins.output(pin)(True)
            assert subject.level(pin), "and free"


@contextmanager
def holder_ends(holder: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        holder.kill()


def _refused(take: Callable[[], object]) -> None:
    said = ""
    try:
        take()
    except StartupError as error:
        said = str(error)
    assert "is in use by another controller or guardian" in said


def guardian_drops_the_line(subject: Subject) -> None:
    """Silence and a hang-up of the controller, over the real line."""
    pin = subject.wires.enable
    with opened(subject) as pins, tempfile.TemporaryDirectory() as home:
        guardian = Guardian(Path(home) / "g", pins.output(pin))
        thread = threading.Thread(target=guardian.run)
        thread.start()
        try:
            for how in ("silence", "death"):
                took: list[float] = []
                # A loaded machine may keep any thread from its processor: the quickest of up to five counts.
                while len(took) < 5 and not any(seconds <= subject.limit_s for seconds in took):
                    took.append(_seconds_until_low(subject, Path(home) / "g", how))
                print(f"    line down after {1e3 * min(took):.0f} ms of {how}")
                assert min(took) <= subject.limit_s
        finally:
            guardian.stop()
            thread.join()


def _seconds_until_low(subject: Subject, path: Path, how: str) -> float:
    pin = subject.wires.enable
    link = GuardianLink(path, patience=10_000)
    try:
        _wait(
            lambda: link.beat(time.monotonic(), link.state != TRIPPED) == ARMED and subject.level(pin), 30.0
        )
        began = time.monotonic()
        if how == "death":
            link.close()
        _wait(lambda: not subject.level(pin), 30.0)
        return time.monotonic() - began
    finally:
        link.close()


def kernel_events_are_counted(seconds: float = 2.0) -> float:
    """Steps to and fro through the kernel's input system: none is lost; the rate [1/s].

    The kernel keeps 64 events, two a step: not more than that is ever under way.
    """
    with rotary() as turner:
        device = find_rotary()
        assert device is not None, "the device is found by its name"
        counter = KernelCounter(device)
        seen: list[int] = []
        sent, began = 0, time.monotonic()
        while time.monotonic() < began + seconds:
            turner.turn(BURST)
            sent += len(BURST)
            _wait(lambda sent=sent: _heard(counter, seen) >= sent, 30.0)
        assert seen == BURST * (sent // len(BURST))
        assert counter.illegal == 0
        rate = sent / (time.monotonic() - began)
        turner.turn(BURST * 100)
        _wait(lambda: _heard(counter, seen) == sent + 100 * len(BURST) or counter.illegal > 0, 30.0)
        return rate


def _heard(counter: KernelCounter, seen: list[int]) -> int:
    seen += [edge.step for edge in counter.drain()]
    return len(seen)


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


CHECKS = (
    backend_has_a_name,
    output_is_low_until_set_and_low_after_close,
    pwm_follows_the_duty,
    input_can_be_read,
    counter_of_a_resting_shaft_is_silent,
    pins_can_be_taken_again,
    pins_of_another_process_are_left_alone,
    guardian_drops_the_line,
)
