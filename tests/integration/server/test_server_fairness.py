"""The fair queue: what an owner's neighbours may cost, whatever they ask for, cancel, lose and get back."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict

import pytest
from fair_lab import COSTS, LANES, Lab, fresh_lab
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from server_world import job_request
from sqlalchemy import func, select

from github_app import queue
from github_app.db import Database
from github_app.models import Job

EXAMPLES = int(os.environ.get("FAIRNESS_EXAMPLES", "10"))
"""`make fuzz` asks for more."""


@pytest.fixture
def lab(database: Database) -> Lab:
    return Lab(database)


def test_a_newcomer_does_not_wait_for_a_thousand_jobs(lab: Lab) -> None:
    lab.submit_many("mallory", 1000)
    lab.served(5)
    lab.submit("alice")
    assert "alice" in lab.served(2)


def test_two_who_always_have_jobs_waiting_take_turns(lab: Lab) -> None:
    lab.submit_many("mallory", 50)
    lab.served(10)
    lab.submit_many("alice", 10)
    served = lab.served(20)
    assert abs(served.count("alice") - served.count("mallory")) <= 1


def test_shares_are_robot_seconds_not_jobs(lab: Lab) -> None:
    for _ in range(12):
        lab.submit("mallory", cost=120)
    for _ in range(48):
        lab.submit("alice", cost=30)
    assert lab.served(20).count("alice") in {15, 16, 17}


def test_sessions_count_as_often_as_they_run(lab: Lab) -> None:
    with lab.database.write() as session:
        for _ in range(2):
            queue.submit(session, job_request(owner="alice", sessions=5, timeout_s=10.0))
    first, second = lab.tags().values()
    assert second - first == 50.0


def test_one_who_comes_one_by_one_is_served_in_turn(lab: Lab) -> None:
    lab.submit_many("mallory", 30)
    served = []
    for _ in range(10):
        lab.submit("alice")
        served += lab.served(2)
    assert served.count("alice") >= 9


def test_idleness_is_not_saved_up(lab: Lab) -> None:
    lab.submit_many("bob", 30)
    lab.served(29)
    lab.submit_many("alice", 10)
    lab.submit_many("bob", 10)
    served = lab.served(10)
    assert served.count("bob") >= 4, "alice, who never came before, has no claim to more than her share"


def test_cancelling_costs_nothing(lab: Lab) -> None:
    lab.submit("bob")
    flood = lab.submit_many("alice", 100)
    for job_id in flood:
        lab.cancel(job_id)
    lab.submit_many("bob", 10)
    lab.submit("alice")
    assert "alice" in lab.served(3)


def test_cancelling_gains_nothing(lab: Lab) -> None:
    flood = lab.submit_many("mallory", 40)
    lab.submit_many("alice", 20)
    for job_id in flood[:20]:
        lab.cancel(job_id)
    lab.submit_many("mallory", 20)
    served = lab.served(20)
    assert served.count("mallory") <= 11


def test_a_requeue_keeps_its_tag(lab: Lab) -> None:
    lab.submit_many("mallory", 3)
    job = lab.claim()
    assert job is not None
    before = lab.tags()
    lab.release(job)
    assert lab.tags() == before
    again = lab.claim()
    assert again is not None
    assert again.id == job.id


def test_one_robot_under_several_names_is_one_share(lab: Lab) -> None:
    for lane in LANES:
        lab.submit_many("mallory", 20, lane)
    lab.submit_many("alice", 10)
    served = lab.served(20)
    assert served.count("alice") >= 9


def test_a_clogged_robot_is_no_reason_to_wait_for_another(lab: Lab) -> None:
    lab.add_robot("duck")
    lab.submit_many("mallory", 200, ("goose",))
    lab.served(2)
    lab.submit("mallory")
    lab.served(1, "duck")
    lab.submit("alice")
    lab.submit("alice", ("goose",))
    assert lab.served(1, "duck") == ["alice"]
    assert "alice" in lab.served(3, "goose")


def test_robots_that_share_no_lane_share_no_past(lab: Lab) -> None:
    lab.submit_many("mallory", 300)
    lab.add_robot("duck")
    lab.submit("mallory", ("duck",))
    lab.submit_many("alice", 3, ("duck",))
    assert len(lab.served(4, "duck")) == 4


def test_an_owner_may_have_so_many_waiting_and_no_more(lab: Lab) -> None:
    lab.submit_many("alice", 3)
    with lab.database.write() as session:
        job = queue.submit(session, job_request(owner="alice"), queued_max=3)
        assert (job.status, job.conclusion) == ("completed", "skipped")
        assert "alice has 3 jobs waiting" in (job.reason or "")
        assert queue.submit(session, job_request(owner="bob"), queued_max=3).status == "queued"


def test_the_repository_s_owner_counts_in_lower_case(lab: Lab) -> None:
    with lab.database.write() as session:
        assert queue.submit(session, job_request()).owner == "alice"
        assert queue.submit(session, job_request(owner="Bob")).owner == "bob"


class Fairness(RuleBasedStateMachine):
    """One robot of many names, and three owners.

    The bound: from its submission to its claim, a job sees no other owner served more than what its own owner
    had waiting before it, plus three of the longest jobs.
    """

    owners = st.sampled_from(("alice", "bob", "mallory"))
    lanes = st.sampled_from(LANES)
    costs = st.sampled_from(COSTS)

    @initialize()
    def begin(self) -> None:
        self.opened = fresh_lab(("goose",))
        self.lab = self.opened.__enter__()
        self.done: dict[str, dict[int, float]] = defaultdict(dict)
        self.promised: dict[int, tuple[float, dict[str, float]]] = {}

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            self.opened.__exit__(None, None, None)

    @rule(owner=owners, lane=lanes, cost=costs)
    def submit(self, owner: str, lane: tuple[str, ...], cost: float) -> None:
        with self.lab.database.read() as session:
            mine = select(func.coalesce(func.sum(Job.timeout_s), 0.0)).where(
                Job.owner == owner, Job.status == "queued"
            )
            before = session.execute(mine).scalar_one()
        job_id = self.lab.submit(owner, lane, cost)
        self.promised[job_id] = (before, {name: sum(jobs.values()) for name, jobs in self.done.items()})

    @rule(owner=owners, lane=lanes, count=st.integers(5, 30))
    def flood(self, owner: str, lane: tuple[str, ...], count: int) -> None:
        for _ in range(count):
            self.submit(owner, lane, 120.0)

    @rule(count=st.integers(1, 12))
    def serve(self, count: int) -> None:
        for job in itertools.islice(iter(self.lab.claim, None), count):
            self._check(job)
            self.done[job.owner][job.id] = job.timeout_s
            self.lab.run(job)

    @rule()
    def requeue(self) -> None:
        job = self.lab.claim()
        if job is not None:
            self.lab.release(job)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.promised:
            first = data.draw(st.sampled_from(sorted(self.promised)))
            for job_id in range(first, first + data.draw(st.integers(1, 20))):
                if job_id in self.promised:
                    self.lab.cancel(job_id)

    def _check(self, job: Job) -> None:
        ahead, then = self.promised[job.id]
        for owner in self.done.keys() - {job.owner}:
            meanwhile = sum(self.done[owner].values()) - then.get(owner, 0.0)
            assert meanwhile <= ahead + 3 * max(COSTS), f"{owner} went before job {job.id} for {meanwhile} s"


TestFairness = Fairness.TestCase
TestFairness.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
