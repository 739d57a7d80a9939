"""Claims per second on both databases, with 100 and with 100,000 jobs queued.

The limit beside it is the bare statement, `UPDATE … FOR UPDATE SKIP LOCKED … RETURNING` and a commit, on one
connection. procrastinate's fetch reached about 200/s, sequentially, on a machine like the one of the bars.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg
from sqlalchemy import insert

from github_app import claims
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.models import Job, Repository, Runner
from github_app.moves import utc_now
from runner.protocol import RobotReport
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import postgres as pg

ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)
LANES = ("pendulum", "goose,pendulum", "cartpole", "duck,pendulum")
RUNNERS = 2000
CLAIMS = 200
ROUNDS = 5
PROCRASTINATE = 200.0

BARE = """
    UPDATE jobs SET status = 'claimed', claim_key = %s, attempt = attempt + 1 WHERE id = (
        SELECT id FROM jobs WHERE status = 'queued' AND lane = 'pendulum'
        ORDER BY order_key, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING id
"""


def fill(database: Database, queued: int) -> None:
    """Runners, and jobs spread over four lanes."""
    now = utc_now()
    job = {
        "repository_id": 1, "trigger": "push", "requested_by": "alice", "sha": "5" * 40, "ref": "main",
        "config": {}, "timeout_s": 120.0, "status": "queued", "created_at": now, "next_report_at": now,
    }  # fmt: skip
    jobs = [
        {
            **job,
            "trigger_key": f"bench:{number}",
            "order_key": float(number),
            "lane": LANES[number % 4],
            "labels": LANES[number % 4].split(","),
        }
        for number in range(queued + 4 * CLAIMS * ROUNDS * 3)
    ]
    with database.write() as session:
        session.add(
            Repository(id=1, installation_id=1, owner="a", name="b", private=False, default_branch="main")
        )
        session.add_all(
            [Runner(name=f"r{number}", labels=["goose", "duck"], created_at=now) for number in range(RUNNERS)]
        )
        session.flush()
        for start in range(0, len(jobs), 5000):
            session.execute(insert(Job), jobs[start : start + 5000])


class Claimers:
    """Runners that claim in turn; each is done with its job before it asks again."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.next_runner = 0

    def rate(self, threads: int) -> float:
        """Claims per second, by so many at once."""
        per_thread = CLAIMS // threads
        firsts = [self.next_runner + number * per_thread for number in range(threads)]
        self.next_runner = (self.next_runner + CLAIMS) % (RUNNERS - CLAIMS)
        workers = [threading.Thread(target=self._claim, args=(first, per_thread)) for first in firsts]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return per_thread * threads / (time.perf_counter() - began)

    def _claim(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            wish = ClaimRequest(number + 1, secrets.token_hex(16), ROBOT)
            with self.database.write() as session:
                job = claims.claim(session, wish, lease_s=30)
            assert job is not None

    def forget(self) -> None:
        """As if all claimed jobs were over."""
        with self.database.write() as session:
            session.query(Job).where(Job.status == "claimed").update({"status": "completed"})


def bare_rate(url: str) -> float:
    """The bare statement, sequentially."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        began = time.perf_counter()
        for _ in range(CLAIMS):
            connection.execute(BARE, (secrets.token_hex(16),))
            connection.commit()
        return CLAIMS / (time.perf_counter() - began)


def measure(report: Report, name: str, database: Database, queued: int) -> float:
    """One database at one depth; returns its sequential rate."""
    fill(database, queued)
    claimers = Claimers(database)
    claimers.rate(1)
    ours: list[float] = []
    many: list[float] = []
    bare: list[float] = []
    for _ in range(ROUNDS):
        ours.append(claimers.rate(1))
        if not database.is_sqlite:
            many.append(claimers.rate(4))
            bare.append(bare_rate(database.url))
        claimers.forget()
    limit = median(bare) if bare else None
    enough = None if database.is_sqlite else median(ours) >= 3 * PROCRASTINATE
    report.add(
        f"claims/s, {name}, {queued} queued, one after the other",
        median(ours),
        peer=limit,
        peer_name="bare statement",
        bar="" if database.is_sqlite else ">= 600/s (3x procrastinate)",
        met=enough,
    )
    if many:
        report.add(f"claims/s, {name}, {queued} queued, four at once", median(many))
    return median(ours)


@contextmanager
def databases() -> Iterator[dict[str, list[Database]]]:
    """Two fresh databases of each kind that is there."""
    folder = Path(tempfile.mkdtemp())
    cluster = None if pg.missing() else pg.Cluster()
    urls = {"SQLite": [f"sqlite:///{folder}/{number}.sqlite3" for number in range(2)]}
    if cluster is not None:
        urls["PostgreSQL"] = [cluster.database() for _ in range(2)]
    opened = {name: [Database(url) for url in each] for name, each in urls.items()}
    try:
        yield opened
    finally:
        for each in opened.values():
            for database in each:
                database.close()
        if cluster is not None:
            cluster.close()
        shutil.rmtree(folder)


def main() -> None:
    """Measure."""
    report = Report("claims")
    with databases() as found:
        for name, (shallow, deep) in found.items():
            rates = []
            for database, queued in ((shallow, 100), (deep, 100_000)):
                database.upgrade()
                rates.append(measure(report, name, database, queued))
            ratio = rates[1] / rates[0]
            report.add(f"{name}: rate at 100,000 over rate at 100", ratio, bar="flat", met=ratio > 0.7)
    report.close()


if __name__ == "__main__":
    main()
