"""What may happen to a run, told by any thread, awaited by the one that runs it."""

from __future__ import annotations

import threading
import time
from enum import Enum


class Kind(str, Enum):
    """Something happened."""

    EXITED = "exited"  # the container has ended
    ENGINE_FAILED = "engine_failed"  # Docker went away under it
    CANCELLED = "cancelled"  # the server asks to stop; the detail is its reason
    LOST = "lost"  # our fence is stale
    HOST_STOPS = "host_stops"  # the host wants the runner to end now
    SESSION_ENDED = "session_ended"  # the controller ended the session; the detail is its reason


class Happenings:
    """Each kind is remembered once, with its first detail."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._seen: dict[Kind, str] = {}
        self.looked_at = 0.0
        """When somebody last waited here (monotonic clock)."""

    def post(self, kind: Kind, detail: str = "") -> None:
        """Tell that it happened."""
        with self._condition:
            self._seen.setdefault(kind, detail)
            self._condition.notify_all()

    def seen(self, kind: Kind) -> str | None:
        """Its detail, or None where it did not happen."""
        return self._seen.get(kind)

    def forget(self, *kinds: Kind) -> None:
        """Let these happen anew: they belonged to one container."""
        with self._condition:
            for kind in kinds:
                self._seen.pop(kind, None)

    def wait(self, kinds: tuple[Kind, ...], until: float) -> Kind | None:
        """The first of `kinds`, in their order, that happened by `until` (monotonic clock), or None."""
        with self._condition:
            while True:
                self.looked_at = time.monotonic()
                for kind in kinds:
                    if kind in self._seen:
                        return kind
                left = until - time.monotonic()
                if left <= 0:
                    return None
                self._condition.wait(left)
