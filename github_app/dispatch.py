"""The runners that wait for a job in this process: a job wakes one of them, not all.

A waiting runner holds a `Waiter`, neither a thread nor a database connection. Whoever learns that lanes hold
jobs calls `offer`; it wakes as many runners of each lane as there are jobs, those first that wait longest.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from github_app.claims import parts, serves

ENTER_AT_ONCE = 8
"""Runners that are asked in at a time; fewer than the process has connections to its database."""


class Waiter:
    """One runner's place in the waiting room.

    Attributes:
        labels: What it answers to; None: it is not called.
        answers_to: What it said it answers to when it came, by which it is found.
    """

    def __init__(self, labels: frozenset[str] | None) -> None:
        self.labels = labels
        self.answers_to = labels or frozenset()
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
    """The waiting room. Safe for threads and greenlets.

    Attributes:
        door: Who comes passes it with each question to the database before the wait: where two thousand come
            at once, after a restart, they stand in line there, and webhooks, heartbeats and pages do not.
        closed: The server ends.
    """

    def __init__(self) -> None:
        self.door = threading.BoundedSemaphore(ENTER_AT_ONCE)
        self._lock = threading.Lock()
        self._waiters: dict[int, Waiter] = {}
        self._by_label: defaultdict[str, dict[int, Waiter]] = defaultdict(dict)
        self.closed = False

    @contextmanager
    def waiting(self, runner_id: int, labels: frozenset[str] | None) -> Iterator[Waiter]:
        """Wait as this runner; without labels it is never called.

        An older wait of the same runner ends: its client has given it up.
        """
        waiter = Waiter(labels)
        with self._lock:
            older = self._leave(runner_id)
            self._waiters[runner_id] = waiter
            for label in waiter.answers_to:
                self._by_label[label][runner_id] = waiter
            if self.closed:
                waiter.dismiss()
        if older is not None:
            older.dismiss()
        try:
            yield waiter
        finally:
            with self._lock:
                if self._waiters.get(runner_id) is waiter:
                    self._leave(runner_id)

    def _leave(self, runner_id: int) -> Waiter | None:
        waiter = self._waiters.pop(runner_id, None)
        for label in () if waiter is None else waiter.answers_to:
            del self._by_label[label][runner_id]
            if not self._by_label[label]:
                del self._by_label[label]
        return waiter

    def offer(self, lanes: Mapping[str, int]) -> None:
        """Wake as many runners of each lane as it holds jobs: who waits longest and is not awake already."""
        with self._lock:
            for lane, jobs in lanes.items():
                free = (waiter for waiter in self._likely(lane) if waiter.may_serve(lane))
                for waiter in itertools.islice(free, jobs):
                    waiter.call()

    def _likely(self, lane: str) -> Collection[Waiter]:
        """Those who have the rarest of the labels that the lane needs, in the order they came."""
        needed, _ = parts(lane)
        rooms = [self._by_label.get(label, {}) for label in needed] or [self._waiters]
        return min(rooms, key=len).values()

    def close(self) -> None:
        """Send everybody away, and whoever comes after."""
        with self._lock:
            self.closed = True
            for waiter in self._waiters.values():
                waiter.dismiss()

    def __len__(self) -> int:
        return len(self._waiters)
