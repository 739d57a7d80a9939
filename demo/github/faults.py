"""Trouble on demand: the next matching API requests fail the way GitHub and the network do."""

import re
import threading
from dataclasses import dataclass, field


@dataclass
class Fault:
    """How the next `times` requests fail whose method equals `method` ("*": any) and whose path `path` finds.

    `status` with `headers` is answered after `delay_s` seconds; with `drop` the connection closes without
    an answer. With `applied` the work is done first, so that only the answer is lost. `status` 0 and no
    `drop` means slow, but right.
    """

    method: str = "*"
    path: str = ""
    times: int = 1
    status: int = 502
    message: str = "Server Error"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    applied: bool = False


class Faults:
    """The faults still to happen, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let a fault happen from now on."""
        re.compile(fault.path)
        with self._lock:
            self._pending.append(fault)

    def clear(self) -> None:
        """Let everything work again."""
        with self._lock:
            self._pending.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault of this request, if it has one, and count it."""
        with self._lock:
            for fault in self._pending:
                if fault.method in ("*", method) and re.search(fault.path, path):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._pending.remove(fault)
                    return fault
        return None
