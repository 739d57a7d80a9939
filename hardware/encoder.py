"""The encoder: quadrature edges in, an absolute angle and a velocity with a proven error bound out.

Position. Every edge moves the count by one; the count is absolute and kept across sessions. Between the
counts n and n+1 lies a boundary at n + 1/2, and at the moment of an edge the shaft stands exactly there:
edges are exact position measurements with exact times, whatever the count's coarseness.

Velocity. Take two edges at t1 < t2, at boundaries b1 and b2. By the mean value theorem the velocity was
exactly (b2 − b1)·count/(t2 − t1) at some moment in between; with |acceleration| <= A it can since have
changed by A·(now − t1) at most. A timing error of at most J per edge changes the quotient by
2J/(t2 − t1 − 2J) of itself at most, plus the shift of the moment, A·J. While no edge comes, the shaft
stays within one count. An edge takes up to D to reach us, so what is known to be quiet is the time until
now − D: the velocity is also within count/(now − D − t2) + A·(now − t2) of zero. (Without D a fast shaft,
whose edges are closer than they are punctual, would seem to brake whenever the last one is under way.)
`Encoder.velocity` returns the estimate and the smaller bound; a property test tries to break it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

WINDOW_S = 0.03
"""Edges within this time make the velocity; the simulation assumes the same (`velocity_window`)."""

KEPT_EDGES = 256

# Old and new levels as bits AaBb -> step. Gray code: 00, 10, 11, 01 is one turn of the quadrature forward.
_ORDER = {(0, 0): 0, (1, 0): 1, (1, 1): 2, (0, 1): 3}


class Edge(NamedTuple):
    """One step of the count: when [s, monotonic], and +1 or −1."""

    t: float
    step: int


class QuadratureDecoder:
    """Levels of the two channels to steps.

    Both channels changing at once is impossible for a shaft: an edge was lost (or the wiring is broken).
    Such a transition is counted in `illegal` and moves the count by nothing, since its direction is unknown.
    """

    def __init__(self, a: int, b: int) -> None:
        self._phase = _ORDER[bool(a), bool(b)]
        self.illegal = 0

    def feed(self, a: int, b: int) -> int:
        """The step (−1, 0 or +1) that new levels mean."""
        phase = _ORDER[bool(a), bool(b)]
        change = (phase - self._phase) % 4
        self._phase = phase
        if change == 2:
            self.illegal += 1
            return 0
        return 1 if change == 1 else -(change // 3)


class Velocity(NamedTuple):
    """An estimate and how far at most it is from the truth, both in counts a second."""

    estimate: float
    bound: float


class Encoder:
    """The count and the last edges.

    Args:
        count: Where to go on counting from.
        max_acceleration: A of the module's text [counts/s²].
        jitter_s: J: how wrong an edge's time may be [s].
        delivery_s: D: how long after its time an edge may be fed [s].
    """

    def __init__(
        self,
        count: int = 0,
        max_acceleration: float = 5000.0,
        jitter_s: float = 2e-5,
        delivery_s: float = 2e-3,
    ) -> None:
        self.count = count
        self._acceleration = max_acceleration
        self._jitter = jitter_s
        self._delivery = delivery_s
        self._edges: deque[tuple[float, float]] = deque(maxlen=KEPT_EDGES)

    @property
    def last_edge_at(self) -> float | None:
        """When the count last changed [s, monotonic]."""
        return self._edges[-1][0] if self._edges else None

    def feed(self, edges: Iterable[Edge]) -> None:
        """Count edges, in the order of their times."""
        for t, step in edges:
            self._edges.append((t, self.count + 0.5 * step))
            self.count += step

    def velocity(self, now: float) -> Velocity:
        """The velocity at `now`, which is not before the last edge."""
        if len(self._edges) < 2:
            return Velocity(0.0, self._still(now))
        t1, b1 = self._oldest(now)
        t2, b2 = self._edges[-1]
        span = max(t2 - t1, 1e-9)
        mean = (b2 - b1) / span
        slack = 2.0 * self._jitter
        timing = abs(mean) * slack / (span - slack) if span > slack else abs(mean) + 1.0 / span
        moved = self._acceleration * (now - t1 + self._jitter)
        still = self._still(now)
        # Since the last edge the shaft moved by less than a count: a higher mean is already disproved.
        quiet = 1.0 / max(now - self._delivery - t2, 1e-9)
        estimate = max(-quiet, min(quiet, mean))
        return Velocity(estimate, min(timing + moved + abs(mean - estimate), still + abs(estimate)))

    def _oldest(self, now: float) -> tuple[float, float]:
        """The oldest edge within the window; where only one is in it, the one before."""
        edges = self._edges
        index = len(edges) - 2
        while index > 0 and edges[index - 1][0] >= now - WINDOW_S:
            index -= 1
        return edges[index]

    def _still(self, now: float) -> float:
        """The largest speed there can be when no edge came since the last one."""
        if not self._edges:
            return float("inf")
        passed = now - self._edges[-1][0] + self._jitter
        quiet = passed - self._delivery - 2.0 * self._jitter
        return 1.0 / max(quiet, 1e-9) + self._acceleration * passed
