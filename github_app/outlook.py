"""When a waiting job's turn comes: its place, an estimate, and the robots it waits for.

The estimate plays the queue forward from now: each robot that is online and fit ends what it does, then takes
the first job that it serves, as `claims` would have it, and so on. So it counts the jobs of other lanes that
share a robot, and leaves out robots that are away (`forward`). What a job will take is not known, only the
most it may, and neither is who will come before its turn: fair queueing puts a newcomer before the jobs of an
owner who has many. So it is played several times, each job using such a share of its time as one of the last
jobs did, others coming at random as they came in the last hour (`newcomers`), and the mean is told. (Played
once with mean times it would be a fifth too long: of several robots, the first to be free is free before the
mean.) The place counts those who wait now. What was played is told to all who ask within `KEPT`, unless a
waiting job or a robot has changed.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, func, select, tuple_
from sqlalchemy.orm import Session

from github_app import claims, newcomers, roster
from github_app.aside import aside
from github_app.columns import is_live, is_queued
from github_app.fairness import Lanes
from github_app.forward import SPARE_ROBOTS, Queued, Seat, Turn, play
from github_app.models import Job
from github_app.newcomers import Expected
from github_app.usage import ASKED_S, Live, Usage, learn

ONLINE = timedelta(seconds=90)
"""A runner that was heard of within this time is online: a long poll lasts 50 s."""
DRAINED = "drained by its host"
"""The message of a robot that is to take no more jobs."""
LOOK_MAX = 500
"""Jobs of a lane that are played forward; behind them the estimate goes on at the same rate."""
KEPT = timedelta(seconds=10)
"""How long a play of the very same queue is good; the time since then is taken off."""
NEWCOMERS = 50
"""Newcomers that are played at most, and as many again as there are jobs waiting."""
PLAYS_MIN, PLAYS_MAX = 4, 32
PLAYED_JOBS = 1200
"""Jobs played in all: a short line is played often, a long one, in which chance evens out, a few times."""
IDLE_MAX = 64
"""Idle robots that are looked at before all are."""


@dataclass(frozen=True)
class Robot:
    """A robot that could take the job: its runner, as last heard of."""

    name: str
    online: bool
    busy: bool
    healthy: bool
    message: str
    seen_at: datetime | None

    @property
    def is_fit(self) -> bool:
        """Whether it takes jobs now."""
        return self.online and self.healthy


@dataclass(frozen=True)
class Waiting:
    """Why a queued job waits.

    Attributes:
        position: 1 is next.
        robots: Those that could take it; where one stands idle for it, that one alone.
        begins_in_s: Expected time until a robot takes it [s]; None where none that could is online and fit.
    """

    position: int
    robots: tuple[Robot, ...]
    begins_in_s: float | None


_Found = tuple[Robot, int, frozenset[str]]
"""A robot, its runner's number, and what it answers to."""


class Outlook:
    """The queue and its robots as they are in one transaction."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session, self._now = session, now
        self._live = self._live_jobs()
        self._busy = {live.runner for live in self._live}
        self._heads = claims.waiting_lanes(session)

    def of(self, job: Job) -> Waiting:
        """Why this queued job waits."""
        if (idle := self._idle_for(job)) is not None:
            return Waiting(1, (idle,), 0.0)
        turn = self._turns.get(job.id) or self._behind(job)
        robots = tuple(robot for robot, _, labels in self._robots if claims.serves(labels, job.lane))
        return Waiting(turn.position, robots, turn.in_s)

    def _idle_for(self, job: Job) -> Robot | None:
        """A robot that stands still and has no other job to take first: then nothing has to be played."""
        before = [lane for lane, head in self._heads.items() if head < (job.order_key, job.id)]
        for robot, _, labels in self._idle:
            if claims.serves(labels, job.lane) and not any(claims.serves(labels, lane) for lane in before):
                return robot
        return None

    @cached_property
    def _turns(self) -> dict[int, Turn]:
        """As they were told a moment ago, or played anew."""
        bind = self._session.get_bind()
        robots = tuple((number, labels, robot.is_fit) for robot, number, labels in self._robots)
        live = tuple((one.runner, one.tag, one.asked_s, one.started_s is None) for one in self._live)
        about = (tuple(self._jobs), robots, live)
        told = _lately.get(bind)
        if told is None or told.about != about or not timedelta(0) <= self._now - told.at < KEPT:
            told = _lately[bind] = _Told(about, self._now, self._mean_turns(learn(self._session)))
        return {
            number: turn.after((self._now - told.at).total_seconds()) for number, turn in told.turns.items()
        }

    def _behind(self, job: Job) -> Turn:
        """A job that stands too far back to be played forward."""
        before = tuple_(Job.order_key, Job.id) < tuple_(job.order_key, job.id)
        ahead = select(func.count()).where(is_queued(Job.status), Job.lane == job.lane, before)
        place = self._session.execute(ahead).scalar_one() + 1
        mine = [self._turns[one.id] for one in self._jobs if one.lane == job.lane]
        if not mine:
            return Turn(place, None)
        last = mine[-1]
        position = last.position + place - len(mine)
        return Turn(position, None if last.in_s is None else last.in_s * position / last.position)

    def _mean_turns(self, usage: Usage) -> dict[int, Turn]:
        """The mean of several plays; the same queue is always told the same."""
        coming = newcomers.expect(self._session, self._now)
        virtual = self._virtual_times(coming)
        draw = random.Random(0)  # noqa: S311 - guards nothing
        count = max(PLAYS_MIN, min(PLAYS_MAX, PLAYED_JOBS // (len(self._jobs) + 1)))
        fit = self._enough(virtual)
        plays = aside(lambda: [self._play(fit, usage, draw, coming, virtual) for _ in range(count)])
        turns = {number: _mean([turns[number] for turns in plays]) for number in plays[0]}
        # Where no robot that could is here, the place is the one among the jobs that they would take.
        anyway = play([Seat(0.0, labels) for _, _, labels in self._robots], self._jobs)
        return {
            number: turn if turn.in_s is not None else Turn(anyway[number].position, None)
            for number, turn in turns.items()
        }

    def _enough(self, lanes: Collection[str]) -> list[tuple[int, frozenset[str]]]:
        """Number and labels of the fit robots, but no more idle ones of a kind than a play looks at."""
        named = claims.named_labels(lanes)
        idle: Counter[frozenset[str]] = Counter()
        found = []
        for robot, number, labels in self._robots:
            kind = labels & named
            idle[kind] += robot.is_fit and not robot.busy
            if robot.is_fit and (robot.busy or idle[kind] <= len(self._jobs) + SPARE_ROBOTS):
                found.append((number, kind))
        return found

    def _play(
        self,
        robots: Iterable[tuple[int, frozenset[str]]],
        usage: Usage,
        draw: random.Random,
        expected: Expected,
        virtual: dict[str, float],
    ) -> dict[int, Turn]:
        rest: defaultdict[int, float] = defaultdict(float)
        tags: dict[int, float] = {}
        for live in self._live:
            rest[live.runner] += usage.draw_rest_s(draw, live.asked_s, live.claimed_s, live.started_s)
            tags[live.runner] = max(live.tag, tags.get(live.runner, 0.0))
        seats = [Seat(rest[number], labels, tags.get(number)) for number, labels in robots]
        jobs = [replace(job, takes_s=usage.draw_s(draw, job.asked_s)) for job in self._jobs]
        most = NEWCOMERS + len(jobs)
        coming = expected.come(draw, lambda asked_s: usage.draw_s(draw, asked_s), most)
        return play(seats, jobs, coming, virtual)

    @cached_property
    def _jobs(self) -> list[Queued]:
        """All that wait, in the order of the tags; what each will take is not known yet."""
        found: list[Any] = []
        for lane in self._heads:
            line = select(Job.order_key, Job.id, Job.lane, Job.owner, ASKED_S).where(is_queued(Job.status))
            line = line.where(Job.lane == lane).order_by(Job.order_key, Job.id).limit(LOOK_MAX)
            found += map(tuple, self._session.execute(line))
        return [
            Queued(number, lane, 0.0, owner, tag, asked_s)
            for tag, number, lane, owner, asked_s in sorted(found)
        ]

    def _virtual_times(self, coming: Expected) -> dict[str, float]:
        lanes = Lanes(self._session)
        named = {job.lane for job in self._jobs} | {wish.lane for wish in coming.wishes}
        return {lane: lanes.virtual_time(lane) for lane in named}

    @cached_property
    def _robots(self) -> list[_Found]:
        return [self._robot(entry) for entry in roster.entries(self._session)]

    @cached_property
    def _idle(self) -> list[_Found]:
        """Some that stand still."""
        some = roster.idle(self._session, self._now - ONLINE, self._busy, IDLE_MAX)
        return [self._robot(entry) for entry in some]

    def _robot(self, entry: roster.Entry) -> _Found:
        robot = Robot(
            name=entry.name,
            online=entry.seen_at is not None and self._now - entry.seen_at < ONLINE,
            busy=entry.id in self._busy,
            healthy=entry.healthy and not entry.drained,
            message=DRAINED if entry.drained else entry.message,
            seen_at=entry.seen_at,
        )
        return robot, entry.id, entry.labels

    def _live_jobs(self) -> list[Live]:
        live = select(Job.runner_id, Job.order_key, ASKED_S, Job.claimed_at, Job.started_at)
        rows: list[Any] = list(self._session.execute(live.where(is_live(Job.status))))
        return [
            Live(runner, tag, asked_s, self._since(claimed_at) or 0.0, self._since(started_at))
            for runner, tag, asked_s, claimed_at, started_at in rows
        ]

    def _since(self, moment: datetime | None) -> float | None:
        return None if moment is None else (self._now - moment).total_seconds()


@dataclass(frozen=True)
class _Told:
    """Turns that were played at a time, and what about: jobs, robots and what these do."""

    about: tuple[object, ...]
    at: datetime
    turns: dict[int, Turn]


_lately: WeakKeyDictionary[Engine | Connection, _Told] = WeakKeyDictionary()


def _mean(turns: list[Turn]) -> Turn:
    times = [turn.in_s for turn in turns if turn.in_s is not None]
    position = round(sum(turn.position for turn in turns) / len(turns))
    return Turn(position, sum(times) / len(times) if times else None)


def waiting(session: Session, job: Job) -> Waiting:
    """Why a queued job waits. The queue is played forward once for all jobs of a transaction."""
    found: Outlook | None = session.info.get("outlook")
    if found is None:
        found = session.info["outlook"] = Outlook(session, datetime.now(UTC))
    return found.of(job)
