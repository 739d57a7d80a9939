"""The bound of fair queueing (`fair_history`) holds for whatever owners do, and its checker has teeth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from fair_lab import COSTS, Lab, fresh_lab
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from github_app.models import Job

LANES = (("pendulum",), ("pendulum", "simulated"), ("simulated",))
"""Each of them is served by every robot here."""
OWNERS = ("alice", "bob", "mallory")
Act = Callable[[Lab], object]


@dataclass(frozen=True)
class Submit:
    """Some jobs of one owner."""

    owner: str
    count: int
    lane: tuple[str, ...]
    cost: float

    def __call__(self, lab: Lab) -> None:
        lab.submit_many(self.owner, self.count, self.lane, self.cost)


@dataclass(frozen=True)
class Serve:
    """Robots take jobs in turn; each ends its job only when it takes the next, so that all are busy."""

    count: int

    def __call__(self, lab: Lab) -> None:
        for number in range(self.count):
            take(lab, sorted(lab.robots)[number % len(lab.robots)])


@dataclass(frozen=True)
class Requeue:
    """A robot gives back what it has claimed."""

    def __call__(self, lab: Lab) -> None:
        robot = min(lab.robots)
        end(lab, robot)
        job = lab.claim(robot)
        if job is not None:
            lab.release(job)


@dataclass(frozen=True)
class Cancel:
    """An owner changes their mind about some of the jobs, wherever they stand."""

    owner: str
    every: int

    def __call__(self, lab: Lab) -> None:
        with lab.database.read() as session:
            mine = select(Job.id).where(Job.owner == self.owner, Job.status == "queued").order_by(Job.id)
            waiting = session.scalars(mine).all()
        lab.cancel(*waiting[:: self.every])


def take(lab: Lab, robot: str) -> None:
    """End what the robot does, and claim."""
    end(lab, robot)
    lab.claim(robot)


def end(lab: Lab, robot: str) -> None:
    """End what the robot does."""
    with lab.database.read() as session:
        live = select(Job).where(Job.runner_id == lab.robots[robot], Job.status == "claimed")
        held = session.scalars(live).unique().all()
    for job in held:
        lab.run(job)


owners, lanes, costs = st.sampled_from(OWNERS), st.sampled_from(LANES), st.sampled_from(COSTS)
acts = st.lists(
    st.one_of(
        st.builds(Submit, owners, st.integers(1, 12), lanes, costs),
        st.builds(Serve, st.integers(1, 8)),
        st.builds(Requeue),
        st.builds(Cancel, owners, st.integers(1, 3)),
    ),
    min_size=4,
    max_size=16,
)
flood: list[Act] = [
    Submit("mallory", 1000, LANES[0], 120.0),
    Serve(5),
    Submit("alice", 12, LANES[0], 30.0),
    Submit("bob", 5, LANES[1], 120.0),
    Serve(30),
]
second_thoughts: list[Act] = [
    Submit("mallory", 20, LANES[1], 120.0),
    Submit("alice", 40, LANES[0], 120.0),
    Submit("mallory", 20, LANES[0], 120.0),
    Cancel("mallory", 2),
    Serve(30),
]
lazy = settings(max_examples=12, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("robots", [("goose",), ("duck", "goose", "swan")], ids=["one", "three"])
def test_two_who_wait_differ_by_their_longest_jobs_at_most(robots: tuple[str, ...]) -> None:
    @lazy
    @given(done=acts)
    @example(done=flood)
    @example(done=second_thoughts)
    def holds(done: list[Act]) -> None:
        with fresh_lab(robots) as lab:
            for act in done:
                act(lab)
            lab.history.check()

    holds()


def first_come(lab: Lab) -> None:
    """First come, first served."""
    with lab.database.write() as session:
        session.execute(update(Job).values(order_key=Job.id))


def by_count(lab: Lab) -> None:
    """Turns by jobs, however long they are."""
    earlier = Job.__table__.alias()
    rank = select(func.count()).where(earlier.c.owner == Job.owner, earlier.c.id < Job.id)
    with lab.database.write() as session:
        session.execute(update(Job).values(order_key=rank.scalar_subquery()))


@pytest.mark.parametrize("order", [first_come, by_count])
def test_other_orders_break_the_bound(order: Act) -> None:
    work: list[Act] = [
        Submit("mallory", 40, LANES[0], 120.0),
        Submit("alice", 40, LANES[0], 10.0),
        order,
        Serve(30),
    ]
    with fresh_lab(("goose",)) as lab:
        for act in work:
            act(lab)
        with pytest.raises(AssertionError, match="times what the bound allows"):
            lab.history.check()
