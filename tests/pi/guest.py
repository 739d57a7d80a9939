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

from hardware.kernel_pins import gpio_labels, header_chip
from hardware.pins import open_pins
from hardware.wires import Wires
from tests.pi.conformance import CHECKS, Subject

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

    # Emulation is ten times slower than a Pi: the limit of the line is checked with that allowance.
    subject = Subject(lambda: open_pins(wires), level, share, wires, limit_s=0.3, elsewhere=ELSEWHERE)
    failed = sum(not passed(check, subject) for check in CHECKS)
    verdict = "PASSED" if not failed else "FAILED"
    print(f"PI {verdict} {len(CHECKS) - failed} of {len(CHECKS)} over {library}", flush=True)
    return 1 if failed else 0


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
