"""How many live streams a server process holds: each takes a connection and some memory while it lasts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from github_app.answers import ApiError

AGAIN_S = "15"


class Admission:
    """Counts streams, in all and by address.

    Args:
        most: In all.
        most_per_address: From one address.
    """

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._lock = threading.Lock()
        self._addresses: Counter[str] = Counter()

    def enter(self, address: str) -> Callable[[], None]:
        """Take a place; call what it returns, once or more, to give it back.

        Raises:
            ApiError: There is none (503), or this address has its share (429).
        """
        with self._lock:
            if self._addresses.total() >= self._most:
                raise ApiError(
                    503,
                    "too_many_viewers",
                    f"{self._most} people watch already; the page shows the same after a reload",
                    Retry_After=AGAIN_S,
                )
            if self._addresses[address] >= self._most_per_address:
                raise ApiError(
                    429,
                    "too_many_streams",
                    f"your address has {self._most_per_address} live pages open; close one, then try again",
                    Retry_After=AGAIN_S,
                )
            self._addresses[address] += 1
        return _once(lambda: self._leave(address))

    def _leave(self, address: str) -> None:
        with self._lock:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def __len__(self) -> int:
        return self._addresses.total()


def _once(call: Callable[[], None]) -> Callable[[], None]:
    calls = [call]

    def first() -> None:
        if calls:
            calls.pop()()

    return first
