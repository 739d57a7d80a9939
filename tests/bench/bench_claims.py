"""Claims per second on both databases, with 100 and with 100,000 jobs queued.

Ours are made as the server makes them, in a gevent process (`claimers`), one after the other and by eight
runners at once. Two stand beside it, measured in turn with it on the same PostgreSQL database: the fetch of
procrastinate with as many jobs of its own, one after the other and by eight workers at once in its asyncio
process, and the bare statement, `UPDATE … FOR UPDATE SKIP LOCKED … RETURNING` and a commit. Neither side
counts what says now and then that a runner or a worker is there; `bench_idle_runners` has the whole poll.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import procrastinate
import psycopg
from sqlalchemy import insert

from github_app.db import Database
from github_app.models import Job, Repository, Runner
from github_app.moves import utc_now
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import postgres as pg

LANES = ("pendulum", "goose,pendulum", "cartpole", "duck,pendulum")
RUNNERS = 2000
CLAIMS = 200
AT_ONCE = 8
ROUNDS = 5

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
        self.next_runner = 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.claimers", database.url],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def rate(self, at_once: int) -> float:
        """Claims per second, by so many at once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{at_once} {self.next_runner} {CLAIMS}\n")
        self.next_runner = (self.next_runner + CLAIMS - 1) % (RUNNERS - CLAIMS) + 1
        return float(self._process.stdout.readline())

    def forget(self) -> None:
        """As if all claimed jobs were over."""
        with self.database.write() as session:
            session.query(Job).where(Job.status == "claimed").update({"status": "completed"})

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


def bare_rate(url: str) -> float:
    """The bare statement, sequentially."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        began = time.perf_counter()
        for _ in range(CLAIMS):
            connection.execute(BARE, (secrets.token_hex(16),))
            connection.commit()
        return CLAIMS / (time.perf_counter() - began)


logging.getLogger("procrastinate").setLevel(logging.ERROR)


class Procrastinate:
    """The peer, through its own job manager and one connection, as its worker fetches."""

    def __init__(self, url: str, queued: int) -> None:
        dsn = url.replace("+psycopg", "")
        self._loop = asyncio.new_event_loop()
        connector = procrastinate.PsycopgConnector(conninfo=dsn, min_size=AT_ONCE, max_size=AT_ONCE)
        self._app = procrastinate.App(connector=connector)
        self._run(self._app.open_async())
        self._run(self._app.schema_manager.apply_schema_async())
        self._worker = self._run(self._app.job_manager.register_worker())
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
                " SELECT 'q' || n %% 4, 'task', '{}' FROM generate_series(1, %s) AS n",
                (queued + 8 * CLAIMS * (ROUNDS + 1),),
            )

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def rate(self, workers: int) -> float:
        """Fetches per second from two queues of four, by so many workers at once."""
        began = time.perf_counter()
        self._run(self._fetch(workers))
        return CLAIMS / (time.perf_counter() - began)

    async def _fetch(self, workers: int) -> None:
        await asyncio.gather(*(self._work(CLAIMS // workers) for _ in range(workers)))

    async def _work(self, count: int) -> None:
        for _ in range(count):
            assert await self._app.job_manager.fetch_job(["q0", "q1"], self._worker) is not None

    def close(self) -> None:
        """Close the connection."""
        self._run(self._app.close_async())
        self._loop.close()


def measure_sqlite(report: Report, database: Database, queued: int) -> float:
    """SQLite at one depth; returns its rate."""
    fill(database, queued)
    claimers = Claimers(database)
    claimers.rate(1)
    ours = []
    for _ in range(ROUNDS):
        ours.append(claimers.rate(1))
        claimers.forget()
    claimers.close()
    report.add(f"claims/s, SQLite, {queued} queued", median(ours))
    return median(ours)


def measure_postgresql(report: Report, database: Database, queued: int) -> float:
    """PostgreSQL at one depth; returns its rate one after the other."""
    fill(database, queued)
    claimers, peer = Claimers(database), Procrastinate(database.url, queued)
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    for at_once in (1, AT_ONCE):
        claimers.rate(at_once)
        peer.rate(at_once)
    rows = []
    for _ in range(ROUNDS):
        one = (claimers.rate(1), peer.rate(1), bare_rate(database.url))
        rows.append((*one, claimers.rate(AT_ONCE), peer.rate(AT_ONCE)))
        claimers.forget()
    claimers.close()
    peer.close()
    ours, theirs, bare, many, their_many = (median(column) for column in zip(*rows, strict=True))
    what = f"claims/s, PostgreSQL, {queued} queued"
    report.add(what, ours, peer=theirs, peer_name="procrastinate", bar=">= 3x", met=ours >= 3 * theirs)
    report.add(what, ours, peer=bare, peer_name="bare statement")
    report.add(f"{what}, {AT_ONCE} at once", many, peer=their_many, peer_name="procrastinate")
    return ours


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
            measure = measure_sqlite if shallow.is_sqlite else measure_postgresql
            for database, queued in ((shallow, 100), (deep, 100_000)):
                database.upgrade()
                rates.append(measure(report, database, queued))
            ratio = rates[1] / rates[0]
            report.add(f"{name}: rate at 100,000 over rate at 100", ratio, bar="flat", met=ratio > 0.7)
    report.close()


if __name__ == "__main__":
    main()
