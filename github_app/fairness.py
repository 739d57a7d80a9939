"""Whose turn it is: start-time fair queueing over owners, weighted by the robot-seconds they ask for.

Every job gets a tag when it is submitted, and waiting jobs are claimed by ascending tag. The tag is the
virtual time at which the job starts: the virtual time now, or where the owner's job before it ends, whichever
is later. So an owner's thousandth job stands a thousand jobs' time behind the present, and whoever comes with
one job is next. (Goyal, Vin, Cheng: Start-time Fair Queueing, SIGCOMM 1996, with robots for links.)

A requeued job has its old place. A cancelled one, which took no time, costs nothing: its owner is charged by
looking at their jobs, and those behind it move up.

Lanes. The virtual time of a lane is the latest tag that was claimed in it, or in one that the same robots
serve, but not behind the robots, which may have been busy with other lanes. An owner's lead over the virtual
time carries over to other lanes that share a robot: asking for one robot under several names gains nothing.

The bound: while two owners both wait in lanes that the same robots serve, the robot-seconds they are given
never differ by more than the sum of their longest jobs, in any interval, with any number of robots.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, case, func, literal_column, select, update
from sqlalchemy.orm import Session

from github_app import claims, roster
from github_app.columns import is_queued
from github_app.db import Database
from github_app.models import Job, Owner


def lock_owner(session: Session, owner: str) -> None:
    """Make this owner's submissions follow one another until the end of the transaction."""
    new = Database.insert(session, Owner).values(login=owner)
    session.execute(new.on_conflict_do_nothing(index_elements=[Owner.login]))
    session.execute(select(Owner.login).where(Owner.login == owner).with_for_update())


def queued_of(session: Session, owner: str) -> int:
    """How many jobs of an owner wait."""
    waiting = select(func.count()).where(is_queued(Job.status), Job.owner == owner)
    return session.execute(waiting).scalar_one()


def next_tag(session: Session, owner: str, lane: str, robot_s: float) -> float:
    """The tag of an owner's next job. The owner is locked, and the job not there yet.

    Args:
        session: A writing transaction.
        owner: Whose.
        lane: Where it will wait.
        robot_s: Time it asks for on a robot [s].
    """
    lanes = Lanes(session)
    now = lanes.virtual_time(lane)
    tag = max(now, _end(session, owner, lane), now + _lead(session, lanes, owner, lane))
    row = session.get_one(Owner, owner)
    row.latest_tag = max(row.latest_tag, tag + robot_s)
    return tag


def close_gap(session: Session, job: Job) -> None:
    """Move up what stands behind a job that is cancelled before its first claim. The owner is locked.

    Its owner alone moves, and only as far as its place, which is not behind the virtual time: nobody else
    waits longer for it than if the job had never been there.
    """
    lanes = Lanes(session)
    moved = Job.order_key - job.timeout_s * job.sessions
    session.execute(
        update(Job)
        .where(is_queued(Job.status), Job.owner == job.owner, Job.lane.in_(lanes.alike(job.lane)))
        .where(Job.order_key > job.order_key)
        .values(order_key=case((moved > job.order_key, moved), else_=job.order_key))
        .execution_options(synchronize_session=False)
    )


_asked: ColumnElement[float] = Job.timeout_s * Job.sessions


def _end(session: Session, owner: str, lane: str) -> float:
    """Where the owner's last job in the lane ends, in virtual time. What never began does not count."""
    mine = select(Job.order_key + _asked).where(Job.owner == owner, Job.lane == lane)
    last = [
        mine.where(which).order_by(Job.order_key.desc()).limit(1)
        for which in (is_queued(Job.status), claimed_once(Job.attempt))
    ]
    return max((session.execute(each).scalar() or 0.0) for each in last)


def _lead(session: Session, lanes: Lanes, owner: str, lane: str) -> float:
    """How far ahead of the virtual time the owner's waiting jobs in lanes that share a robot reach."""
    elsewhere = (
        select(Job.lane, func.max(Job.order_key + _asked))
        .where(is_queued(Job.status), Job.owner == owner, Job.lane != lane)
        .group_by(Job.lane)
    )
    ends = session.execute(elsewhere).all()
    return max(
        (end - lanes.virtual_time(other) for other, end in ends if lanes.share_a_robot(lane, other)),
        default=0.0,
    )


def claimed_once(attempt: Any) -> ColumnElement[bool]:
    """`attempt > 0`, written out, as the partial indexes have it."""
    return cast("ColumnElement[bool]", attempt > literal_column("0"))


class Lanes:
    """The lanes and robots as they are in a transaction; what is asked for is read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._named: frozenset[str] = frozenset()
        self._robots: list[frozenset[str]] | None = None
        self._served_by: dict[str, frozenset[frozenset[str]]] = {}
        self._heads: dict[str, float] | None = None

    def virtual_time(self, lane: str) -> float:
        """The virtual time of a lane: what a newcomer's job is tagged with."""
        claimed = (
            self._first(select(func.max(Job.order_key)).where(claimed_once(Job.attempt), Job.lane == same))
            for same in self.alike(lane)
        )
        return max(*claimed, self._around(lane))

    def alike(self, lane: str) -> list[str]:
        """The lane, and those with waiting jobs that exactly the same robots serve."""
        others = [other for other in self.heads() if other != lane]
        if not others or not (serving := self._serving(lane)):
            return [lane]
        return [lane, *(other for other in others if self._serving(other) == serving)]

    def _serving(self, lane: str) -> frozenset[frozenset[str]]:
        """The robots that serve the lane, each by what it answers to."""
        if lane not in self._served_by:
            robots = self._kinds([lane, *self.heads()])
            self._served_by[lane] = frozenset(labels for labels in robots if claims.serves(labels, lane))
        return self._served_by[lane]

    def _kinds(self, lanes: Iterable[str]) -> list[frozenset[str]]:
        """All robots; as one those that no lane seen so far tells apart."""
        named = claims.named_labels(lanes)
        if self._robots is None or not named <= self._named:
            self._named |= named
            self._robots = roster.kinds(self._session, self._named)
            self._served_by.clear()
        return self._robots

    def _around(self, lane: str) -> float:
        """The tag that the robots which serve the lane have come to."""
        busy: dict[str, float] = {}
        for robot, tag, labels in roster.at_work(self._session):
            if claims.serves(labels, lane):
                busy[robot] = max(tag, busy.get(robot, 0.0))
        if busy:
            return min(busy.values())
        # Where no robot serves the lane yet, the next to come may serve every other one too.
        heads = self.heads().items()
        waiting = [tag for other, tag in heads if self.share_a_robot(lane, other) or not self._serving(lane)]
        if waiting:
            return min(waiting)
        return self._first(select(func.max(Owner.latest_tag)))  # nobody waits: all begin anew, abreast

    def share_a_robot(self, one: str, other: str) -> bool:
        """Whether some robot serves both lanes."""
        return one == other or not self._serving(one).isdisjoint(self._serving(other))

    def heads(self) -> dict[str, float]:
        """The waiting lanes and their first tags."""
        if self._heads is None:
            heads = claims.waiting_lanes(self._session)
            self._heads = {lane: tag for lane, (tag, _) in heads.items()}
        return self._heads

    def _first(self, query: Select[Any]) -> float:
        found: float | None = self._session.execute(query).scalar()
        return found or 0.0
