"""Wake-ups inside a process: whoever waits for a topic goes on as soon as something happened there.

A wake-up says "look", never what to see: it may come for nothing, and whoever waits looks by itself now and
then. So none of them has to be reliable. Topics: `deliveries`, `queue`, `checks`, `job:<id>`.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ear:
    """One listener; it remembers a wake-up until it is waited for."""

    def __init__(self) -> None:
        self._heard = threading.Event()

    def notify(self) -> None:
        """Wake the listener, now or when it next waits."""
        self._heard.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a wake-up; False when none came within `timeout_s`. Forgets it."""
        heard = self._heard.wait(max(0.0, timeout_s))
        self._heard.clear()
        return heard


class Wakeups:
    """Topics and their listeners. Safe for threads and greenlets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: defaultdict[str, set[Ear]] = defaultdict(set)
        self._relay: Callable[[str], None] | None = None

    def relay(self, send: Callable[[str], None] | None) -> None:
        """Also tell other processes, by `send`; it must neither block nor raise."""
        self._relay = send

    def notify(self, topic: str) -> None:
        """Wake everybody who listens to `topic`, in every process."""
        self.notify_here(topic)
        if self._relay is not None:
            self._relay(topic)

    def notify_here(self, topic: str) -> None:
        """Wake the listeners of this process alone."""
        with self._lock:
            ears = tuple(self._ears.get(topic, ()))
        for ear in ears:
            ear.notify()

    @contextmanager
    def listen(self, *topics: str) -> Iterator[Ear]:
        """Listen to topics. Begin to listen before looking, so that nothing falls in between."""
        ear = Ear()
        with self._lock:
            for topic in topics:
                self._ears[topic].add(ear)
        try:
            yield ear
        finally:
            with self._lock:
                for topic in topics:
                    self._ears[topic].discard(ear)
                    if not self._ears[topic]:
                        del self._ears[topic]

    def wait(self, topic: str, timeout_s: float) -> bool:
        """Wait for the next wake-up of `topic`; False when none came within `timeout_s`."""
        with self.listen(topic) as ear:
            return ear.wait(timeout_s)
