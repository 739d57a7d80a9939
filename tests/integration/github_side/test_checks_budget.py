"""GitHub's limits are kept by all server processes together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import postgres as pg
import pytest
from github_lab import PROGRAM, SPOON, Lab, open_lab
from needs import need
from sqlalchemy import select, update

from github_app import checks, rate_limits
from github_app.app import close, create_app
from github_app.db import Database
from github_app.github import RateLimitedError
from github_app.models import RateLimit
from github_app.moves import utc_now
from github_app.rate_limits import RateLimits

HERE = 7


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield from opened(f"sqlite:///{tmp_path}/limits.sqlite3")
        return
    need(pg.missing() is None, "PostgreSQL", pg.missing() or "")
    cluster = pg.Cluster()
    try:
        yield from opened(cluster.database())
    finally:
        cluster.close()


def opened(url: str) -> Iterator[Database]:
    found = Database(url)
    found.upgrade()
    yield found
    found.close()


def test_two_processes_spend_one_budget(database: Database) -> None:
    both = [RateLimits(database, 0, 12), RateLimits(database, 0, 12)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: both[n % 2].spend(HERE, urgent=True), range(20)))
    assert len([until for until in answers if until is None]) == 12
    assert all(until <= utc_now() + rate_limits.LOOK_AGAIN for until in answers if until is not None)
    assert both[0].spend(HERE + 1, urgent=True) is None  # another installation has its own


def test_progress_leaves_a_part_of_the_budget_to_what_is_urgent(database: Database) -> None:
    limits = RateLimits(database, 0, 8)
    progress = [limits.spend(HERE, urgent=False) for _ in range(8)]
    assert [until is None for until in progress] == [True] * 6 + [False] * 2
    assert [limits.spend(HERE, urgent=True) is None for _ in range(3)] == [True, True, False]


def test_a_new_window_is_a_new_budget(database: Database) -> None:
    limits = RateLimits(database, 1, 1)
    assert limits.spend(HERE, urgent=True) is None
    assert limits.spend(HERE, urgent=True) is not None
    with database.write() as session:
        session.execute(update(RateLimit).values(minute=1, hour=1))
    assert limits.spend(HERE, urgent=True) is None


def test_the_longer_of_two_waits_counts(database: Database) -> None:
    limits, soon = RateLimits(database, 0, 0), utc_now() + timedelta(seconds=50)
    assert limits.blocked_until(HERE) is None
    limits.block(HERE, soon + timedelta(seconds=60))
    limits.block(HERE, soon)
    assert limits.blocked_until(HERE) == soon + timedelta(seconds=60)
    with database.write() as session:
        session.execute(update(RateLimit).values(blocked_until=utc_now() - timedelta(seconds=1)))
    assert limits.blocked_until(HERE) is None
    assert limits.spend(HERE, urgent=False) is None  # 0: no limit


def test_one_process_is_told_to_wait_and_the_other_does(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        other = create_app(lab.here.settings)
        lab.world.push(SPOON, PROGRAM, user="alice")
        lab.work()
        lab.world.fault(method="GET", path=f"/repos/{SPOON}$", status=403, headers={"retry-after": "60"})
        repository = lab.repository()
        with pytest.raises(RateLimitedError, match="limit is reached"):
            lab.here.github.repository(repository)
        with pytest.raises(RateLimitedError, match="not over yet"):
            other.extensions["raas"].github.repository(repository)
        close(other)


def test_beyond_the_budget_check_runs_wait_and_are_published_later(tmp_path: Path) -> None:
    with open_lab(tmp_path, RAAS_GITHUB_WRITES_PER_HOUR="2", RAAS_GITHUB_WRITES_PER_MINUTE="0") as lab:
        shas = [
            lab.world.push(SPOON, {**PROGRAM, "n": f"{n}"}, user="alice", branch=f"b{n}") for n in range(3)
        ]
        lab.work()
        assert [len(lab.check_runs(sha)) for sha in shas].count(1) == 2
        waiting = next(job for job in lab.jobs if job.check_run_id is None)
        assert waiting.report_tries == 0  # nothing was sent: the next try need not look for it
        with lab.here.db.write() as session:
            session.execute(update(RateLimit).values(hour=1))
        lab.make_due()
        checks.reconcile(lab.app)
        assert [len(lab.check_runs(sha)) for sha in shas] == [1, 1, 1]


def test_reactions_and_replies_count_and_never_hold_up_a_command(tmp_path: Path) -> None:
    with open_lab(tmp_path, RAAS_GITHUB_WRITES_PER_HOUR="4", RAAS_GITHUB_WRITES_PER_MINUTE="0") as lab:
        lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
        lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature", message="[skip raas]")
        number = lab.world.open_pull(SPOON, head="feature", user="alice")["number"]
        lab.world.comment(SPOON, number, "/raas help", user="alice")
        lab.work()
        with lab.here.db.read() as session:
            (spent,) = session.scalars(select(RateLimit.hour_writes).where(RateLimit.hour_writes > 0))
        assert spent == 3  # eyes, the reply, a rocket
        asked = lab.world.comment(SPOON, number, "/raas run\n/raas status", user="alice")
        lab.work()
        lab.world.comment(SPOON, number, "/raas status", user="alice")
        lab.work()
        (job,) = lab.jobs
        assert job.status == "queued"
        assert lab.world.reactions(SPOON, asked["id"]) == []
        assert replies(lab, number) == 2
        with lab.here.db.write() as session:
            session.execute(update(RateLimit).values(hour=1))
        lab.make_due()
        lab.work()
        assert replies(lab, number) == 3  # the question was kept until it could be answered
        assert len(lab.check_runs(job.sha)) == 1


def replies(lab: Lab, number: int) -> int:
    return len([said for said in lab.world.comments(SPOON, number) if said["user"]["type"] == "Bot"])
