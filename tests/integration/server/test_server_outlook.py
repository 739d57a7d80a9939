"""Estimates come true: a simulated laboratory over the real queue asks for one at each submission."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import fmean

import pytest
from fair_lab import RULES, T0, Lab, fresh_lab
from server_world import World, job_request
from sqlalchemy import select, update

from github_app import leases, outlook, queue
from github_app.leases import Holder
from github_app.models import Job, Runner
from runner.protocol import Conclusion, Finish

LANES = (("pendulum",), ("pendulum",), ("simulated",), ("goose", "pendulum"))
JOBS = 160
WARM_UP = 40
"""Jobs until the server knows what jobs take."""
MANY = 20
"""Jobs that one owner puts in at once."""
MANY_BIAS_MAX = 0.20
"""They wait together: whether many or few come meanwhile hits all of them."""
BIAS_MAX = 0.10
"""Estimates together may be wrong by so much of the time waited together."""

ERROR_MAX = 0.40
"""And each by so much on average: neither what a job will take nor who comes next is known."""


@dataclass
class Simulation:
    """Owners come at random times; robots prepare, run for a random share of the time, and ask again."""

    lab: Lab
    random: random.Random
    tells: tuple[str, ...] = ()  # all
    told: dict[int, float] = field(default_factory=dict)
    waited: dict[int, float] = field(default_factory=dict)
    clock: float = 0.0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _owners: Iterator[int] = field(default_factory=itertools.count)
    _next: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _idle: set[str] = field(default_factory=set)

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._next, (when, next(self._numbers), act))

    def run(self, jobs: int, every_s: float = 24.0) -> None:
        self._idle.update(self.lab.robots)
        arrival = 0.0
        for _ in range(jobs):
            arrival += self.random.expovariate(1 / every_s)
            self.at(arrival, self.submit)
        while self._next:
            self.clock, _, act = heapq.heappop(self._next)
            self.lab.now = T0 + timedelta(seconds=self.clock)
            act()

    def submit(self) -> None:
        self.submit_together(f"owner-{next(self._owners)}", 1)

    def submit_together(self, owner: str, count: int) -> None:
        choose = self.random.choice
        with self.lab.database.write() as session:
            session.execute(update(Runner).values(seen_at=self.lab.now))
            jobs = [
                queue.submit(
                    session,
                    job_request(
                        owner=owner,
                        labels=choose(LANES),
                        timeout_s=choose((30.0, 60.0, 120.0)),
                        sessions=choose((1, 1, 1, 3)),
                    ),
                    now=self.lab.now,
                )
                for _ in range(count)
            ]
            if not self.tells or owner in self.tells:
                self.tell(outlook.Outlook(session, self.lab.now), jobs)
        for robot in sorted(self._idle):
            self.ask(robot)

    def tell(self, told: outlook.Outlook, jobs: list[Job]) -> None:
        for job in jobs:
            waits = told.of(job)
            assert waits.begins_in_s is not None
            self.told[job.id] = waits.begins_in_s

    def ask(self, robot: str) -> None:
        job = self.lab.claim(robot)
        if job is None:
            self._idle.add(robot)
            return
        self._idle.discard(robot)
        self.waited[job.id] = (self.lab.now - job.created_at).total_seconds()
        holder = Holder(job.runner_id or 0, job.id, job.fence or "")
        begins = self.clock + self.random.uniform(3.0, 9.0)
        lasts = job.timeout_s * job.sessions * self.random.uniform(0.2, 0.9)
        self.at(begins, lambda: self.start(holder))
        self.at(begins + lasts, lambda: self.end(holder, robot))

    def start(self, holder: Holder) -> None:
        with self.lab.database.write() as session:
            leases.start(session, holder, RULES, now=self.lab.now)

    def end(self, holder: Holder, robot: str) -> None:
        over = Finish(fence=holder.fence, conclusion=Conclusion.SUCCESS, reason="")
        with self.lab.database.write() as session:
            leases.finish(session, holder, over, RULES, now=self.lab.now)
        self.ask(robot)


def test_estimates_are_unbiased() -> None:
    told: list[float] = []
    waited: list[float] = []
    for seed in (1, 2):
        with fresh_lab(("goose", "duck", "swan")) as lab:
            simulation = Simulation(lab, random.Random(seed))
            simulation.run(JOBS)
        assert len(simulation.waited) == JOBS
        for job in sorted(simulation.told)[WARM_UP:]:
            told.append(simulation.told[job])
            waited.append(simulation.waited[job])
    assert fmean(waited) > 60, "there is something to estimate"
    check(told, waited)


def check(told: list[float], waited: list[float], bias_max: float = BIAS_MAX) -> None:
    """What was told came true, by and large."""
    errors = [one - other for one, other in zip(told, waited, strict=True)]
    assert abs(fmean(errors)) < bias_max * fmean(waited)
    assert fmean(map(abs, errors)) < ERROR_MAX * fmean(waited)


def bulk(seed: int) -> Iterator[tuple[float, float]]:
    """One owner puts in many at once, over all lanes; for each what was told and what came true."""
    with fresh_lab(("goose", "duck", "swan")) as lab:
        simulation = Simulation(lab, random.Random(seed), tells=("bulk",))
        simulation.at(WARM_UP * 40.0, lambda: simulation.submit_together("bulk", MANY))
        simulation.run(110, every_s=40.0)
        assert len(simulation.told) == MANY
        yield from ((told, simulation.waited[job]) for job, told in simulation.told.items())


def test_who_has_many_jobs_is_told_of_those_who_will_come_before() -> None:
    """While others go on to come with one each; foreseen without them, it would be half of what it is."""
    told, waited = zip(*(each for seed in (1, 2, 3) for each in bulk(seed)), strict=True)
    check(list(told), list(waited), MANY_BIAS_MAX)


def test_places_are_the_order_in_which_jobs_are_taken() -> None:
    """Owners with few jobs and with many, in several lanes of one robot, while nobody else comes."""
    with fresh_lab(("goose",)) as lab:
        simulation = Simulation(lab, random.Random(1))
        simulation.run(0)
        simulation.submit_together("first", 1)
        for owner, count in (("bulk", 12), ("alice", 1), ("bob", 4), ("carol", 2)):
            simulation.submit_together(owner, count)
        with lab.database.read() as session:
            seen = outlook.Outlook(session, lab.now)
            waits = session.scalars(select(Job).where(Job.status == "queued"))
            places = {job.id: seen.of(job).position for job in waits}
        simulation.run(0)
    taken = sorted(simulation.waited, key=lambda job: simulation.waited[job])
    assert [places[job] for job in taken if job in places] == list(range(1, 20))


def waiting(world: World, job_id: int) -> outlook.Waiting:
    with world.database.read() as session:
        return outlook.waiting(session, session.get_one(Job, job_id))


def test_the_api_tells_place_and_time(world: World) -> None:
    robot = world.robot("goose")
    robot.claim()
    ids = [world.submit(timeout_s=100.0, sessions=2) for _ in range(2)]
    robot.running_job()
    third = world.submit()
    shown = world.app.test_client().get(f"/api/v1/jobs/{third}").get_json()
    assert shown["position"] == 2
    assert 350 < shown["begins_in_s"] <= 2 * 200 + 15
    assert shown["waiting"].startswith("number 2 in line for pendulum, about ")
    begun = world.app.test_client().get(f"/api/v1/jobs/{ids[0]}").get_json()
    assert (begun["position"], begun["waiting"]) == (None, None)


def test_nobody_promises_anything_while_the_robot_is_away(world: World) -> None:
    robot = world.robot("goose")
    robot.claim()
    first, second = world.submit(), world.submit()
    with world.database.write() as session:
        session.execute(update(Runner).values(seen_at=T0))
    assert (waiting(world, second).position, waiting(world, second).begins_in_s) == (2, None)
    assert [robot.online for robot in waiting(world, first).robots] == [False]
    shown = world.app.test_client().get(f"/api/v1/jobs/{second}").get_json()
    assert shown["waiting"] == "number 2 in line; goose is offline since 22 Nov 12:00 UTC"


def test_a_long_line_is_told_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.robot("goose").claim()
    ids = [world.submit(timeout_s=30.0) for _ in range(30)]
    exact = waiting(world, ids[-1])
    monkeypatch.setattr(outlook, "LOOK_MAX", 10)
    guessed = waiting(world, ids[-1])
    assert guessed.position == exact.position == 30
    assert guessed.begins_in_s == pytest.approx(exact.begins_in_s, rel=0.1)


def test_a_job_that_an_idle_robot_will_take_is_told_so_without_a_play(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "play", lambda *_: pytest.fail("there was nothing to find out"))
    monkeypatch.setattr(outlook, "IDLE_MAX", 3)
    for name in ("a", "b", "goose"):
        world.robot(name).claim()
    world.robot("sick").claim(healthy=False)
    named, any_one = world.submit(labels=["goose"]), world.submit()
    for job, name in ((named, "goose"), (any_one, "a")):
        said = waiting(world, job)
        assert (said.position, said.begins_in_s, [robot.name for robot in said.robots]) == (1, 0.0, [name])


def test_a_robot_that_has_another_job_to_take_first_is_not_idle_for_this_one(world: World) -> None:
    world.robot("goose").claim()
    world.submit(labels=["goose"])
    second = world.submit()
    assert waiting(world, second).position == 2
