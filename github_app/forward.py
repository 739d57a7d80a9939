"""The queue played forward from now: who is taken when. Pure: no database, no clock.

Each robot ends what it does, then takes the first job that it serves, as `claims` would have it, and so on.
Newcomers get their tags as `fairness` gives them, so they go before the jobs of an owner who has many.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from github_app import claims

SPARE_ROBOTS = 8
"""Robots that are played beyond one for each job: newcomers take some."""


@dataclass(frozen=True)
class Seat:
    """A robot that will take jobs: from when on [s from now], with what labels; the tag of what it does."""

    free_in_s: float
    labels: frozenset[str]
    tag: float | None = None


@dataclass(frozen=True)
class Queued:
    """A waiting job: its number, lane, time it will hold a robot [s]; whose, its tag, time asked for [s]."""

    id: int
    lane: str
    takes_s: float
    owner: str = ""
    tag: float = 0.0
    asked_s: float = 0.0


@dataclass(frozen=True)
class Newcomer:
    """A job that somebody will submit: when [s from now], whose, in which lane, and as for `Queued`."""

    comes_in_s: float
    owner: str
    lane: str
    takes_s: float
    asked_s: float


@dataclass(frozen=True)
class Turn:
    """Where a job stands: its place among those that its robots take, and when it is taken [s from now]."""

    position: int
    in_s: float | None

    def after(self, s: float) -> Turn:
        """The same, so long after it was told [s]."""
        return self if self.in_s is None or s == 0 else Turn(self.position, max(0.0, self.in_s - s))


_Seated = tuple[float, tuple[str, ...], float | None]
"""When a robot is free, what it serves, and the tag of what it does."""
_Place = tuple[float, int]
"""A job's place in the order of claims: tag and number, as `claims` orders."""


class _Line:
    """The waiting jobs of the play, and the order in which they are taken."""

    def __init__(self, jobs: Sequence[Queued], virtual: Mapping[str, float]) -> None:
        self._waiting: defaultdict[str, list[tuple[_Place, Queued]]] = defaultdict(list)
        self._reached = dict(virtual)
        self._ends: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._count = 0
        for job in jobs:
            self._add(job)

    def head(self, lanes: Collection[str]) -> str | None:
        """The lane that holds the next job of these."""
        there = [lane for lane in lanes if self._waiting[lane]]
        return min(there, key=lambda lane: self._waiting[lane][0][0]) if there else None

    def take(self, lane: str, alike: Iterable[str]) -> Queued:
        """The next job of the lane; its tag is the virtual time of all lanes that the same robots serve."""
        _, job = heapq.heappop(self._waiting[lane])
        for each in alike:
            self._reached[each] = max(job.tag, self._reached.get(each, 0.0))
        return job

    def come(self, newcomer: Newcomer, hands: Collection[float], near: Iterable[str]) -> None:
        """One more job. `hands`: tags of the robots that serve its lane; `near`: lanes that share one."""
        lane = newcomer.lane
        now = max(self._reached.get(lane, 0.0), min(hands, default=0.0))
        ends = self._ends[newcomer.owner]
        leads = (ends[each] - self._reached.get(each, 0.0) for each in near if each in ends)
        tag = max(now, ends.get(lane, 0.0), now + max(leads, default=0.0))
        self._add(Queued(0, lane, newcomer.takes_s, newcomer.owner, tag, newcomer.asked_s))

    def never(self) -> dict[int, Turn]:
        """Those that no robot takes: each with its place in its lane."""
        return {
            job.id: Turn(place, None)
            for rest in self._waiting.values()
            for place, (_, job) in enumerate(sorted(each for each in rest if each[1].id), 1)
        }

    def _add(self, job: Queued) -> None:
        self._count += 1
        heapq.heappush(self._waiting[job.lane], ((job.tag, self._count), job))
        ends = self._ends[job.owner]
        ends[job.lane] = max(job.tag + job.asked_s, ends.get(job.lane, 0.0))


class _Robots:
    """The robots of the play: when each is free, what it serves, and the tag that it has come to."""

    def __init__(self, seated: list[_Seated], lanes: Collection[str]) -> None:
        self.free = [(free_in_s, number) for number, (free_in_s, _, _) in enumerate(seated)]
        heapq.heapify(self.free)
        self.served = [served for _, served, _ in seated]
        self.hands: list[float | None] = [tag for _, _, tag in seated]
        self.serving = {lane: [n for n, served in enumerate(self.served) if lane in served] for lane in lanes}
        self._alike = {
            lane: [other for other in lanes if self.serving[other] == serving]
            for lane, serving in self.serving.items()
        }

    def alike(self, lane: str) -> list[str]:
        """The lanes that exactly the same robots serve."""
        return self._alike[lane]

    def near(self, lane: str) -> set[str]:
        """The other lanes that share a robot with this one."""
        return {other for number in self.serving[lane] for other in self.served[number]} - {lane}

    def hands_of(self, lane: str) -> list[float]:
        """The tags that the robots which serve the lane have come to."""
        return [tag for number in self.serving[lane] if (tag := self.hands[number]) is not None]


def play(
    seats: Iterable[Seat],
    jobs: Sequence[Queued],
    newcomers: Iterable[Newcomer] = (),
    virtual: Mapping[str, float] | None = None,
) -> dict[int, Turn]:
    """Who is taken when, if nobody leaves.

    Args:
        seats: The robots.
        jobs: All waiting jobs, in the order of their tags.
        newcomers: Who else will come, in the order of coming; asked for as far as needed.
        virtual: The virtual time of each lane, those of newcomers included.
    """
    virtual = virtual or {}
    lanes = {job.lane for job in jobs} | virtual.keys()
    robots = _Robots(_worth_playing(seats, lanes, len(jobs)), lanes)
    line = _Line(jobs, virtual)
    ahead: Counter[str] = Counter()
    turns: dict[int, Turn] = {}
    wanted = sum(bool(robots.serving[job.lane]) for job in jobs)
    coming = iter(newcomers)
    newcomer = next(coming, None)
    while robots.free and len(turns) < wanted:
        now, number = robots.free[0]
        while newcomer is not None and newcomer.comes_in_s <= now:
            line.come(newcomer, robots.hands_of(newcomer.lane), robots.near(newcomer.lane))
            newcomer = next(coming, None)
        lane = line.head(robots.served[number])
        if lane is not None:
            job = line.take(lane, robots.alike(lane))
            robots.hands[number] = job.tag
            if job.id:
                turns[job.id] = Turn(ahead[lane] + 1, now)
                ahead.update(robots.served[number])
            heapq.heapreplace(robots.free, (now + job.takes_s, number))
        elif newcomer is not None:
            heapq.heapreplace(robots.free, (newcomer.comes_in_s, number))
        else:
            heapq.heappop(robots.free)
    return turns | line.never()


def _worth_playing(seats: Iterable[Seat], lanes: Collection[str], jobs: int) -> list[_Seated]:
    """When robots are free, what they serve, their tags; of those that serve the same, as many as may matter.

    Two thousand robots and three jobs: all but a few of them would only be looked at.
    """
    named = claims.named_labels(lanes)
    kinds: defaultdict[frozenset[str], list[tuple[float, float | None]]] = defaultdict(list)
    for seat in seats:
        kinds[seat.labels & named].append((seat.free_in_s, seat.tag))
    return [
        (free_in_s, served, tag)
        for kind, seated in kinds.items()
        if (served := tuple(lane for lane in lanes if claims.serves(kind, lane)))
        for free_in_s, tag in heapq.nsmallest(jobs + SPARE_ROBOTS, seated, key=itemgetter(0))
    ]
