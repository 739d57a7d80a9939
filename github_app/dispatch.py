"""The runners that wait for a job in this process: a job wakes one of them, not all.

A waiting runner holds a `Waiter`, neither a thread nor a database connection. Whoever learns that lanes hold
jobs calls `offer`; it wakes as many runners of each lane as there are jobs, those first that wait longest.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from github_app.claims import serves


class Waiter:
    """One runner's place in the waiting room."""

    def __init__(self, labels: frozenset[str] | None) -> None:
        self.labels = labels
        self.called = False
        self.dismissed = False
        self._event = threading.Event()

    def call(self) -> None:
        """There may be a job: look."""
        self.called = True
        self._event.set()

    def may_serve(self, lane: str) -> bool:
        """Whether a job of this lane is worth a call."""
        return not self.called and self.labels is not None and serves(self.labels, lane)

    def dismiss(self) -> None:
        """Go without a job: the runner asked again elsewhere, or the server ends."""
        self.dismissed = True
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait to be called; True if so, once a call. A call that comes as the time ends still counts."""
        self._event.wait(max(0.0, timeout_s))
        called, self.called = self.called, False
        if not self.dismissed:
            self._event.clear()
        return called and not self.dismissed


class Dispatcher:
    """The waiting room. Safe for threads and greenlets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[int, Waiter] = {}
        self.closed = False

    @contextmanager
    def waiting(self, runner_id: int, labels: frozenset[str] | None) -> Iterator[Waiter]:
        """Wait as this runner; without labels it is never called.

        An older wait of the same runner ends: its client has given it up.
        """
        waiter = Waiter(labels)
        with self._lock:
            older = self._waiters.pop(runner_id, None)
            self._waiters[runner_id] = waiter
            if self.closed:
                waiter.dismiss()
        if older is not None:
            older.dismiss()
        try:
            yield waiter
        finally:
            with self._lock:
                if self._waiters.get(runner_id) is waiter:
                    del self._waiters[runner_id]

    def offer(self, lanes: Iterable[str]) -> None:
        """Wake a runner of a lane each time it is named: who waits longest and is not awake already."""
        with self._lock:
            for lane, jobs in Counter(lanes).items():
                free = (waiter for waiter in self._waiters.values() if waiter.may_serve(lane))
                for waiter in itertools.islice(free, jobs):
                    waiter.call()

    def close(self) -> None:
        """Send everybody away, and whoever comes after."""
        with self._lock:
            self.closed = True
            for waiter in self._waiters.values():
                waiter.dismiss()

    def __len__(self) -> int:
        return len(self._waiters)
