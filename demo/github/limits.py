"""GitHub's request limits: so many an hour for each token's owner, and fewer that create content."""

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass

from demo.github.errors import ApiError

_HOUR_S = 3600
_MINUTE_S = 60


@dataclass
class Window:
    """One owner's hour: how many requests it had, and when (seconds since the epoch) the next hour begins."""

    used: int
    reset_at: int


class Limits:
    """Counts in memory: a restart begins a new hour."""

    def __init__(self, hourly: int, content_per_minute: int) -> None:
        self.hourly = hourly
        self.content_per_minute = content_per_minute
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        self._content: dict[str, deque[float]] = defaultdict(deque)

    def window(self, key: str) -> Window:
        """Return an owner's current hour."""
        with self._lock:
            return self._current(key)

    def _current(self, key: str) -> Window:
        window = self._windows.get(key)
        if window is None or window.reset_at <= time.time():
            window = self._windows[key] = Window(0, int(time.time()) + _HOUR_S)
        return window

    def spend(self, key: str) -> None:
        """Count one request or raise 403 when the hour's are used up."""
        with self._lock:
            window = self._current(key)
            if window.used >= self.hourly:
                raise ApiError(403, f"API rate limit exceeded for {key}.", headers=self._headers(window))
            window.used += 1

    def refund(self, key: str) -> None:
        """Take back one counted request: it was one of those that cost nothing."""
        with self._lock:
            self._current(key).used -= 1

    def spend_content(self, key: str) -> None:
        """Count one creation of content or raise the secondary limit's 403 with `retry-after`."""
        if not self.content_per_minute:
            return
        current = time.monotonic()
        with self._lock:
            recent = self._content[key]
            while recent and recent[0] <= current - _MINUTE_S:
                recent.popleft()
            if len(recent) >= self.content_per_minute:
                wait = max(1, round(recent[0] + _MINUTE_S - current))
                message = "You have exceeded a secondary rate limit. Please wait a few minutes."
                raise ApiError(403, message, headers={"Retry-After": str(wait)})
            recent.append(current)

    def exhaust(self, remaining: int, reset_in_s: int) -> None:
        """Leave every known owner `remaining` requests until `reset_in_s` seconds from now."""
        with self._lock:
            for window in self._windows.values():
                window.used = max(0, self.hourly - remaining)
                window.reset_at = int(time.time()) + reset_in_s

    def headers(self, key: str) -> dict[str, str]:
        """Return the x-ratelimit headers of an answer to an owner."""
        with self._lock:
            return self._headers(self._current(key))

    def _headers(self, window: Window) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.hourly),
            "X-RateLimit-Remaining": str(max(0, self.hourly - window.used)),
            "X-RateLimit-Reset": str(window.reset_at),
            "X-RateLimit-Used": str(window.used),
            "X-RateLimit-Resource": "core",
        }
