"""The claim in one statement on PostgreSQL: what it takes, what it leaves alone, and how it looks it up."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import postgres as pg
import psycopg
import pytest
from server_world import add_repository, events, submit

from github_app import claims, moves, queue, swift_claim
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.models import Job, Runner
from github_app.swift_claim import Claimed
from runner.protocol import RobotReport

ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)


@pytest.fixture
def db(database: Database) -> Database:
    add_repository(database)
    return database


def add_runners(database: Database, count: int, *labels: str) -> list[int]:
    with database.write() as session:
        rows = [
            Runner(name=f"r{number}", labels=list(labels), created_at=moves.utc_now())
            for number in range(count)
        ]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def claim(database: Database, runner: int, key: str = "") -> Claimed | None:
    wish = ClaimRequest(runner, key or secrets.token_hex(16), ROBOT, "1.0")
    return swift_claim.claim(database, wish, lease_s=30.0)


def test_a_claim_tells_what_a_runner_has_to_know(db: Database) -> None:
    job_id = submit(db, sessions=3, timeout_s=7.5, config={"version": 1, "run": "x"})
    (runner,) = add_runners(db, 1)
    got = claim(db, runner)
    assert got is not None
    assert (got.id, got.attempt, got.repository, got.sessions) == (job_id, 1, "alice/pendulum-1", 3)
    assert (got.timeout_s, got.config) == (7.5, {"version": 1, "run": "x"})
    with db.read() as session:
        job = session.get_one(Job, job_id)
    assert (job.status, job.fence, job.runner_id) == ("claimed", got.fence, runner)
    assert events(db, job_id) == ["queued", "claimed"]


def test_the_event_is_the_one_that_is_to_be_reported(db: Database) -> None:
    job_id = submit(db)
    (runner,) = add_runners(db, 1)
    claim(db, runner)
    with db.write() as session:
        before = session.get_one(Job, job_id).latest_event
        queue.cancel(session, job_id, "?", by="alice")
        assert session.get_one(Job, job_id).latest_event > before


def test_a_runner_that_is_gone_gets_nothing(db: Database) -> None:
    submit(db)
    with pytest.raises(claims.NoSuchRunnerError):
        claim(db, 4711)


def test_a_lane_without_labels_is_for_everybody(db: Database) -> None:
    job_id = submit(db, labels=[])
    (runner,) = add_runners(db, 1)
    got = claim(db, runner)
    assert got is not None
    assert got.id == job_id


def test_many_at_once_get_one_job_each(db: Database) -> None:
    wanted = {submit(db, labels=["pendulum", *more]) for more in ([], ["left"], [], ["left"]) * 5}
    got: list[int] = []

    def work(runner: int) -> None:
        while (job := claim(db, runner)) is None:
            pass
        got.append(job.id)

    threads = [threading.Thread(target=work, args=(runner,)) for runner in add_runners(db, 20, "left")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 20
    assert set(got) == wanted


def test_one_key_at_once_gets_one_job(db: Database) -> None:
    for _ in range(8):
        submit(db)
    (runner,) = add_runners(db, 1)
    key = secrets.token_hex(16)
    got: list[Claimed | None] = []
    threads = [threading.Thread(target=lambda: got.append(claim(db, runner, key))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 8
    assert len({job and (job.id, job.fence, job.attempt) for job in got}) == 1


def test_two_keys_of_one_runner_at_once_leave_it_one_job(db: Database) -> None:
    """As two processes with one runner's token would ask: none may hold a job it does not know of."""
    jobs = [submit(db) for _ in range(3)]
    (runner,) = add_runners(db, 1)
    got: list[Claimed | None] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait(60)
        got.append(claim(db, runner))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with db.read() as session:
        rows = [session.get_one(Job, job_id) for job_id in jobs]
    held = [row for row in rows if row.status == "claimed"]
    assert len(got) == 6
    assert len(held) <= 1
    assert all(row.status == "queued" or row.conclusion == "neutral" for row in rows if row not in held)
    assert {row.fence for row in held} <= {job.fence for job in got if job is not None}


def test_claims_that_meet_get_what_they_would_get_alone(db: Database) -> None:
    """Nine runners at once; three of them can serve the jobs for the left too."""
    able = add_runners(db, 3, "left")
    with db.write() as session:
        others = [Runner(name=f"o{number}", labels=[], created_at=moves.utc_now()) for number in range(6)]
        session.add_all(others)
        session.flush()
        plain = [row.id for row in others]
    left = {submit(db, labels=["pendulum", "left"], owner=f"l{number}") for number in range(3)}
    anywhere = {submit(db, owner=f"a{number}") for number in range(4)}
    got: dict[int, Claimed | None] = {}

    def work(runner: int) -> None:
        got[runner] = claim(db, runner)

    threads = [threading.Thread(target=work, args=(runner,)) for runner in [*plain, *able]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    jobs = {runner: job.id for runner, job in got.items() if job is not None}
    assert len(set(jobs.values())) == len(jobs)
    assert {jobs[runner] for runner in plain if runner in jobs} <= anywhere
    assert set(jobs.values()) >= anywhere, "nobody went without a job that was there for them"
    assert set(able) <= jobs.keys()
    assert set(jobs.values()) <= anywhere | left
    for runner, job in got.items():
        if job is not None:
            with db.read() as session:
                row = session.get_one(Job, job.id)
            assert (row.runner_id, row.fence, row.status) == (runner, job.fence, "claimed")
            assert events(db, job.id) == ["queued", "claimed"]


@pytest.mark.postgres
def test_what_somebody_has_is_stepped_over_by_tag(postgres_url: str) -> None:
    pg.empty(postgres_url)
    db = Database(postgres_url)
    add_repository(db)
    jobs = [submit(db, owner=f"owner-{number}") for number in range(4)]
    with looked_at(postgres_url, jobs[0]):
        got = [claim(db, runner) for runner in add_runners(db, 3)]
    assert [job and job.id for job in got] == jobs[1:]
    db.close()


@pytest.mark.postgres
def test_every_look_up_goes_by_an_index(postgres_url: str) -> None:
    pg.empty(postgres_url)
    database = Database(postgres_url)
    add_repository(database)
    for _ in range(50):
        submit(database)
    (runner,) = add_runners(database, 1)
    values = {
        "runner": runner, "key": "k", "fence": "f", "healthy": True, "kind": "pendulum", "plant": "simulated",
        "ahead": False, "now": moves.utc_now(), "expires": moves.utc_now(),
    }  # fmt: skip
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("ANALYZE jobs")  # or it goes by what was there before
        connection.execute("SET enable_seqscan = off")  # with fifty rows it would be as good
        plan = "\n".join(row[0] for row in connection.execute("EXPLAIN " + swift_claim.ARRIVE, values))
    database.close()
    assert plan.count("using ix_jobs_queued") == 3, "the first lane, the next one, and from its head on"
    assert "(ROW(order_key, id) >= ROW(" in plan
    assert "Seq Scan on jobs" not in plan
    assert "Sort Key: jobs" not in plan


@contextmanager
def looked_at(url: str, job_id: int) -> Iterator[None]:
    """Somebody holds the job's row, as one does who reports it or writes its history."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
        yield


def waits_for_a_lock(url: str) -> bool:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
        return row is not None


@pytest.mark.postgres
def test_a_job_at_which_somebody_looks_is_no_empty_queue(postgres_url: str) -> None:
    pg.empty(postgres_url)
    db = Database(postgres_url)
    add_repository(db)
    job_id = submit(db)
    (runner,) = add_runners(db, 1)
    got: list[Claimed | None] = []
    claimant = threading.Thread(target=lambda: got.append(claim(db, runner)))
    with looked_at(postgres_url, job_id):
        claimant.start()
        while not waits_for_a_lock(postgres_url):
            assert claimant.is_alive(), "it was told that there is nothing"
            time.sleep(0.01)
    claimant.join(60)
    assert [job and job.id for job in got] == [job_id]
    db.close()


@pytest.mark.postgres
def test_a_lock_that_is_never_given_up_stops_no_runner(postgres_url: str) -> None:
    pg.empty(postgres_url)
    db = Database(postgres_url)
    add_repository(db)
    stuck = submit(db)
    (runner,) = add_runners(db, 1)
    with looked_at(postgres_url, stuck):
        assert claim(db, runner) is None
        later = submit(db)
        got = claim(db, runner)
        assert got is not None
        assert got.id == later
    db.close()
