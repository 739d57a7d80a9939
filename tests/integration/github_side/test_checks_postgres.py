"""Two server processes on one PostgreSQL share deliveries and check runs: each is done once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import postgres as pg
import pytest
from github_lab import PROGRAM, SPOON, open_lab
from needs import need

from github_app import checks, services, triggers
from github_app.app import close, create_app


@pytest.fixture(scope="module")
def cluster() -> Iterator[pg.Cluster]:
    need(pg.missing() is None, "PostgreSQL", pg.missing() or "")
    running = pg.Cluster()
    yield running
    running.close()


@pytest.mark.postgres
def test_two_servers_do_everything_once(cluster: pg.Cluster, tmp_path: Path) -> None:
    with open_lab(tmp_path, RAAS_DATABASE_URL=cluster.database()) as lab:
        other = create_app(lab.here.settings)
        shas = [
            lab.world.push(SPOON, {**PROGRAM, "n": str(n)}, user="alice", branch=f"b{n}") for n in range(5)
        ]
        lab.world.settle()
        with ThreadPoolExecutor(4) as pool:
            for work in (triggers.process_pending, checks.reconcile):
                while sum(pool.map(work, [lab.app, other] * 2)):
                    pass
        assert services.of(other).settings == lab.here.settings
        assert len(lab.jobs) == len(shas)
        for sha in shas:
            assert len(lab.check_runs(sha)) == 1
        assert {job.reported_event == job.latest_event for job in lab.jobs} == {True}
        close(other)
