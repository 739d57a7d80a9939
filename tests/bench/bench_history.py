"""A database that has seen much: what a claim costs with 100,000 jobs of history and 10,000 queued.

`fill` is for other benchmarks too. The rows are made by the database itself, which takes seconds.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg
from sqlalchemy import insert

from github_app import swift_claim
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.models import Runner
from github_app.moves import utc_now
from runner.protocol import RobotReport
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import postgres as pg

ENDED, QUEUED = 100_000, 10_000
LANES = 5
CLAIMS, LOOKS = 300, 100
ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)

_COLUMNS = """
    INSERT INTO jobs (repository_id, trigger, trigger_key, requested_by, owner, sha, ref, config, labels,
        lane, timeout_s, sessions, status, conclusion, lost, order_key, created_at, claimed_at, started_at,
        completed_at, attempt, phase, log_length, latest_event, reported_event, report_tries, next_report_at)
"""
_ENDED = """
    SELECT 1, 'push', 'ended:' || n, 'alice', 'owner-' || n %% 50, repeat('5', 40), 'main', '{}',
        '["pendulum"]', 'pendulum', 120, 1, 'completed', 'success', FALSE, n, at, at, at,
        at + interval '30 s', 1, '', 0, n, n, 0, at
    FROM (
        SELECT n, now() - (%(count)s + 1 - n) * interval '30 s' AS at FROM generate_series(1, %(count)s) AS n
    ) AS rows
"""
_QUEUED = """
    SELECT 1, 'push', 'queued:' || n, 'alice', 'owner-' || n %% 50, repeat('5', 40), 'main', '{}',
        jsonb_build_array('c' || n %% %(lanes)s, 'cartpole'), 'c' || n %% %(lanes)s || ',cartpole', 120, 1,
        'queued', NULL, FALSE, n, now(), NULL, NULL, NULL, 0, '', 0, n, n, 0, now()
    FROM generate_series(1, %(count)s) AS n
"""
_EVENTS = """
    INSERT INTO job_events (job_id, at, kind, data)
    SELECT id, created_at, kind, '{}'
    FROM jobs, unnest(ARRAY['queued', 'claimed', 'started', 'finished']) AS kind
    WHERE status = 'completed'
"""


def fill(database: Database, ended: int = ENDED, queued: int = QUEUED) -> None:
    """History with its events, and jobs in five lanes that wait for robots which are not here."""
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO repositories VALUES (1, 1, 'a', 'b', FALSE, 'main') ON CONFLICT DO NOTHING"
        )
        connection.execute(_COLUMNS + _ENDED, {"count": ended})
        connection.execute(_EVENTS)
        connection.execute(_COLUMNS + _QUEUED, {"count": queued, "lanes": LANES})
        connection.execute("VACUUM ANALYZE")


_WANTED = """
    SELECT 1, 'push', 'wanted:' || n, 'alice', 'owner-' || n %% 50, repeat('5', 40), 'main', '{}', '["duck"]',
        'duck', 120, 1, 'queued', NULL, FALSE, n, now(), NULL, NULL, NULL, 0, '', 0, n, n, 0, now()
    FROM generate_series(1, %(count)s) AS n
"""


def add_claimers(database: Database) -> list[int]:
    """Runners, and a job for each but the last `LOOKS`; the runners' numbers."""
    now = utc_now()
    rows = [
        {"name": f"duck{number}", "labels": ["duck"], "created_at": now} for number in range(CLAIMS + LOOKS)
    ]
    with database.write() as session:
        numbers = list(session.scalars(insert(Runner).returning(Runner.id), rows))
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_COLUMNS + _WANTED, {"count": CLAIMS})
        connection.execute("VACUUM ANALYZE")
    return numbers


def cost_ms(database: Database, runner: int, *, finds: bool) -> float:
    """Time of one claim [ms]."""
    began = perf_counter()
    wish = ClaimRequest(runner, secrets.token_hex(16), ROBOT)
    found = swift_claim.claim(database, wish, lease_s=30.0)
    assert (found is not None) == finds
    return 1000 * (perf_counter() - began)


def main() -> None:
    """Measure."""
    report = Report("history")
    cluster = pg.Cluster()
    databases = [Database(cluster.database()) for _ in range(2)]
    try:
        for database in databases:
            database.upgrade()
        fill(databases[0], ended=0, queued=0)
        began = perf_counter()
        fill(databases[1])
        report.add(f"filling in {ENDED:,} ended and {QUEUED:,} queued jobs, s", perf_counter() - began)
        numbers = [add_claimers(database) for database in databases]
        for what, part, finds in (
            ("a claim, ms", slice(0, CLAIMS), True),
            ("a claim that finds nothing, ms", slice(CLAIMS, None), False),
        ):
            pairs = [
                [
                    cost_ms(database, runner, finds=finds)
                    for database, runner in zip(databases, both, strict=True)
                ]
                for both in zip(*(each[part] for each in numbers), strict=True)
            ]
            empty, full = (median(column) for column in zip(*pairs, strict=True))
            report.add(
                f"{what}, with history", full, peer=empty, peer_name="empty database", bar="<= 1.5x",
                met=full <= 1.5 * empty,
            )  # fmt: skip
    finally:
        for database in databases:
            database.close()
        cluster.close()
    report.close()


if __name__ == "__main__":
    main()
