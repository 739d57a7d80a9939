"""What a queue did, and the checker that says whether it was fair.

The bound of start-time fair queueing (Goyal, Vin, Cheng 1996, theorem 1), with the robot-seconds that jobs
ask for as their lengths and equal weights: in every interval in which two owners both have jobs waiting all
the time, the robot-seconds that they are given differ by at most the sum of their longest jobs.

A job is given its time when it is first claimed. That makes the bound hold for any number of robots that
serve the same lanes, because claims go by ascending tags whoever makes them. (By what is finished instead of
claimed, each robot adds the job that it is working on: (D + 1) times the sum for D robots, as in SFQ(D) by
Jin, Chase and Kaur, 2004.) A requeued job is given nothing twice, and a cancelled one nothing at all.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class History:
    """Submissions, first claims and cancellations, in the order in which they happened.

    Attributes:
        cost: Robot-seconds each job asked for [s].
        owner: Whose each job is.
        worst: How much of the bound the worst interval has used, 1.0 is all of it.
    """

    cost: dict[int, float] = field(default_factory=dict)
    owner: dict[int, str] = field(default_factory=dict)
    worst: float = 0.0
    _waiting: Counter[str] = field(default_factory=Counter)
    _given: Counter[str] = field(default_factory=Counter)
    _known: set[int] = field(default_factory=set)
    _spans: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def submitted(self, job: int, owner: str, cost: float) -> None:
        """A job begins to wait."""
        self.cost[job], self.owner[job] = cost, owner
        self._waiting[owner] += 1
        self._known.add(job)
        self._look()

    def claimed(self, job: int) -> None:
        """A job is given to a robot; again, after a requeue, means nothing."""
        if job not in self._known:
            return
        owner = self.owner[job]
        self._known.discard(job)
        self._given[owner] += self.cost[job]  # type: ignore[assignment]
        self._look()
        self._waiting[owner] -= 1
        self._look()

    def cancelled(self, job: int) -> None:
        """A job stops waiting."""
        if job in self._known:
            self._known.discard(job)
            self._waiting[self.owner[job]] -= 1
            self._look()

    def longest(self, owner: str) -> float:
        """The longest job of an owner so far [s]."""
        return max(self.cost[job] for job, whose in self.owner.items() if whose == owner)

    def _look(self) -> None:
        """Extend or end each pair's interval. Its largest difference is that of any part of it."""
        for pair in itertools.combinations(sorted(set(self.owner.values())), 2):
            one, other = pair
            if not (self._waiting[one] and self._waiting[other]):
                self._spans.pop(pair, None)
                continue
            lead = float(self._given[one] - self._given[other])
            low, high = self._spans.get(pair, (lead, lead))
            self._spans[pair] = low, high = min(low, lead), max(high, lead)
            self.worst = max(self.worst, (high - low) / (self.longest(one) + self.longest(other)))

    def check(self) -> None:
        """Raise `AssertionError` where an interval was unfair."""
        assert self.worst <= 1.0 + 1e-9, f"an owner got {self.worst:.2f} times what the bound allows"
