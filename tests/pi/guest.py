"""Inside the emulated Raspberry Pi: the conformance suite over a real GPIO library, which the argument names.

The witness is the chip's own level register (GPLEV0 of the BCM2837), read through /dev/mem.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable

from hardware import pins
from hardware.kernel_pins import gpio_labels, header_chip
from hardware.wires import Wires
from tests.pi.conformance import CHECKS, Subject, kernel_events_are_counted

GPIO_BASE = 0x3F200000
LEVELS = 0x34
ELSEWHERE = (
    "from hardware.pins import open_pins; from hardware.wires import Wires; "
    "pins = open_pins(Wires(pwm='software'))"
)


def main(library: str) -> int:
    """Run every check; 0 if all passed."""
    print(f"==> {library}")
    memory = os.open("/dev/mem", os.O_RDONLY | os.O_SYNC)
    registers = mmap.mmap(memory, 4096, mmap.MAP_SHARED, mmap.PROT_READ, offset=GPIO_BASE)
    wires = Wires(pwm="software")
    labels = gpio_labels()
    print(f"    chips {labels}, the header's is {header_chip(labels)}")
    assert labels[header_chip(labels) or 0] == "pinctrl-bcm2835"

    def level(pin: int) -> bool:
        return bool(struct.unpack_from("<I", registers, LEVELS)[0] >> pin & 1)

    def share(pin: int) -> float:
        high = total = 0
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            high += level(pin)
            total += 1
        return high / total

    # Emulation is ten times slower than a Pi: the limit of the line is checked with that allowance, and
    # software PWM, which sleeps between its edges, with periods long beside what a sleep is late.
    pins.PWM_HZ = 50
    subject = Subject(lambda: pins.open_pins(wires), level, share, wires, limit_s=0.3, elsewhere=ELSEWHERE)
    failed = sum(not passed(check, subject) for check in CHECKS)
    if library == "rpi-lgpio":  # once is enough: no library has a part in it
        failed += not passed(kernel_encoder, subject)
    verdict = "PASSED" if not failed else "FAILED"
    print(f"PI {verdict} over {library}, {failed} failed", flush=True)
    return 1 if failed else 0


def kernel_encoder(_: Subject) -> None:
    """The kernel's events, counted as those of its rotary encoder are."""
    print(f"    {kernel_events_are_counted():.0f} edges/s through evdev without loss")


def passed(check: Callable[[Subject], None], subject: Subject) -> bool:
    """Run one check and say how it went."""
    try:
        check(subject)
    except Exception:
        print(f"FAIL {check.__name__}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok   {check.__name__}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
