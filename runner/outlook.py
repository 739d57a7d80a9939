"""When the robot will be free, as far as one can tell before a program has ended.

A task is scored over its horizon and most programs end with it; nobody moves the robot beyond the job's time
limit. An end is near shortly before and after the first of these moments, and from shortly before the second
on.
"""

from __future__ import annotations

import threading
import time

LEAD_S = 15.0
"""So long before it is expected, an end is near [s]: enough to fetch a source and to make its image ready."""
LINGER_S = 15.0
"""So long after a program should have ended with its task's horizon, it may still be about to [s]."""


class Outlook:
    """Told by the thread that moves the robot, asked by the one that prepares the next job."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._scored_by: float | None = None
        self._ended_by = 0.0
        self._over = False

    @property
    def over(self) -> bool:
        """Whether the robot is free."""
        return self._over

    @property
    def near(self) -> bool:
        """Whether it may be expected to be free soon, or is."""
        return self._over or self._away(time.monotonic()) == 0

    def expect(self, horizon_s: float, timeout_s: float) -> None:
        """The last session begins: its task is scored over `horizon_s`, and `timeout_s` is its limit."""
        now = time.monotonic()
        with self._changed:
            self._scored_by, self._ended_by = now + min(horizon_s, timeout_s), now + timeout_s
            self._changed.notify_all()

    def end(self) -> None:
        """The robot is free."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wait_until_near(self) -> bool:
        """Wait for the end to be near; False where it was over before."""
        with self._changed:
            while not self._over:
                away = self._away(time.monotonic())
                if away == 0:
                    return True
                self._changed.wait(away)
            return False

    def wait_until_over(self, timeout_s: float) -> bool:
        """Wait for the end, so long at most [s]; whether it is over."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over, timeout_s)

    def _away(self, now: float) -> float | None:
        """How long until an end is near [s]; None: nobody knows yet."""
        if self._scored_by is None:
            return None
        if now < self._scored_by + LINGER_S:
            return max(0.0, self._scored_by - LEAD_S - now)
        return max(0.0, self._ended_by - LEAD_S - now)
