"""Robots and owners who want them, on a real database, at times of the test's choice."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fair_history import History
from server_world import add_repository, job_request
from sqlalchemy import select

from github_app import claims, leases, queue
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.leases import Holder, LeaseRules
from github_app.models import Job, Runner
from runner.protocol import Conclusion, Finish, RobotReport

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = LeaseRules(lease_s=30.0, prepare_s=900.0, log_bytes_max=1000)
ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)
LANES = (("pendulum",), ("pendulum", "goose"), ("pendulum", "simulated"), ("goose",))
COSTS = (10.0, 30.0, 120.0)


class Lab:
    """A robot or several, and owners who want them."""

    def __init__(self, database: Database, robots: tuple[str, ...] = ("goose",)) -> None:
        self.database = database
        add_repository(database)
        self.now = T0
        self.robots: dict[str, int] = {}
        self.history = History()
        for name in robots:
            self.add_robot(name)

    def add_robot(self, name: str) -> None:
        with self.database.write() as session:
            row = Runner(name=name, labels=[], created_at=T0, robot=ROBOT.model_dump(mode="json"))
            session.add(row)
            session.flush()
            self.robots[name] = row.id

    def submit(self, owner: str, lane: tuple[str, ...] = LANES[0], cost: float = 120.0) -> int:
        return self.submit_many(owner, 1, lane, cost)[0]

    def submit_many(
        self, owner: str, count: int, lane: tuple[str, ...] = LANES[0], cost: float = 120.0
    ) -> list[int]:
        with self.database.write() as session:
            made = [
                queue.submit(session, job_request(owner=owner, labels=lane, timeout_s=cost), now=self.now).id
                for _ in range(count)
            ]
        for job_id in made:
            self.history.submitted(job_id, owner, cost)
        return made

    def claim(self, robot: str = "goose") -> Job | None:
        self.now += timedelta(seconds=1)
        wish = ClaimRequest(self.robots[robot], secrets.token_hex(16), ROBOT)
        with self.database.write() as session:
            job = claims.claim(session, wish, lease_s=RULES.lease_s, now=self.now)
        if job is not None:
            self.history.claimed(job.id)
        return job

    def run(self, job: Job) -> None:
        holder = Holder(job.runner_id or 0, job.id, job.fence or "")
        with self.database.write() as session:
            leases.start(session, holder, RULES, now=self.now)
            over = Finish(fence=holder.fence, conclusion=Conclusion.SUCCESS, reason="")
            leases.finish(session, holder, over, RULES, now=self.now)

    def release(self, job: Job) -> None:
        with self.database.write() as session:
            leases.release(session, Holder(job.runner_id or 0, job.id, job.fence or ""), now=self.now)

    def cancel(self, *jobs: int) -> None:
        with self.database.write() as session:
            for job_id in jobs:
                queue.cancel(session, job_id, "?", by="alice", now=self.now)
        for job_id in jobs:
            self.history.cancelled(job_id)

    def tags(self) -> dict[int, float]:
        with self.database.read() as session:
            return dict(session.execute(select(Job.id, Job.order_key)).all())

    def served(self, count: int, robot: str = "goose") -> list[str]:
        """Owners of the next jobs, one after the other."""
        owners = []
        for _ in range(count):
            job = self.claim(robot)
            if job is None:
                break
            owners.append(job.owner)
            self.run(job)
        return owners


@contextmanager
def fresh_lab(robots: tuple[str, ...]) -> Iterator[Lab]:
    """A lab on a database of its own, for one example of a property test."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder)}/raas.sqlite3")
        database.upgrade()
        try:
            yield Lab(database, robots)
        finally:
            database.close()
