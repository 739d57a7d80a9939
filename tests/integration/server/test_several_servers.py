"""Two server processes on one PostgreSQL, under load, through what happens to them and to it."""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import postgres as pg
import psycopg
import pytest
from server_process import ServerProcess
from server_world import ROBOT, add_repository, submit
from sqlalchemy.exc import OperationalError
from test_server_killed import Runner, check_history, invite, wait_until_done

from github_app.db import Database
from github_app.notices import CHANNEL

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]


class Site:
    """Servers A and B, their database, and runners that talk to one of them each."""

    def __init__(self, folder: Path) -> None:
        self.cluster = pg.Cluster()
        self.url = self.cluster.database()
        self.database = Database(self.url)
        self.database.upgrade()
        add_repository(self.database)
        # Nobody is killed here: a lease outlives even a slow restart.
        settings = {"DATABASE_URL": self.url, "LEASE_S": "60", "HEARTBEAT_S": "0.5"}
        settings["DATA_DIR"] = str(folder / "data")  # both see the same artifacts
        self.servers = [ServerProcess(folder / name / "data", **settings) for name in "ab"]
        self.runners: list[Runner] = []
        self.jobs: list[int] = []
        self.end = threading.Event()

    def start(self, runners: int) -> None:
        for server in self.servers:
            server.log.parent.mkdir(exist_ok=True)
            server.start()
        for number in range(runners):
            server = self.servers[number % 2]
            runner = Runner(server.url, invite(self.database, server.url, f"r{number}"), self.end)
            runner.start()
            self.runners.append(runner)

    def submit(self, count: int) -> None:
        """Jobs one by one, as people send them; a database that is away is asked again."""
        for _ in range(count):
            while True:
                try:
                    self.jobs.append(submit(self.database))
                    break
                except OperationalError:
                    time.sleep(0.05)
            time.sleep(0.01)

    def all_is_well(self) -> None:
        """Every job ran once and kept every line of its log."""
        wait_until_done(self.database, self.jobs)
        self.end.set()
        for runner in self.runners:
            runner.join(30)
        assert [runner.errors for runner in self.runners] == [[] for _ in self.runners]
        moved = sum((runner.moved for runner in self.runners), Counter[int]())
        assert moved == Counter(self.jobs)
        for job_id in self.jobs:
            check_history(self.database, job_id)

    def listeners(self) -> list[int]:
        """The backends that the servers listen on."""
        with psycopg.connect(self.url.replace("+psycopg", "")) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE query LIKE %s", (f'LISTEN "%{CHANNEL}%',)
            )
            return [pid for (pid,) in rows]

    def close(self) -> None:
        self.end.set()
        for server in self.servers:
            server.close()
        self.database.close()
        self.cluster.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.close()


def test_a_rolling_restart_under_load_loses_nothing(site: Site) -> None:
    site.start(4)
    for server in site.servers:
        site.submit(15)
        assert server.stop() == 0
        site.submit(5)
        server.start()
    site.all_is_well()


def test_a_cut_listener_and_a_restarted_database_lose_nothing(site: Site) -> None:
    site.start(4)
    site.submit(10)
    while not (cut := site.listeners()):
        time.sleep(0.05)
    with psycopg.connect(site.url.replace("+psycopg", ""), autocommit=True) as connection:
        for pid in cut:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    site.submit(10)
    deadline = time.monotonic() + 60
    while len(set(site.listeners()) - set(cut)) < len(cut):
        assert time.monotonic() < deadline, "nobody listens again"
        time.sleep(0.1)
    site.cluster.stop(signal.SIGQUIT)
    site.cluster.start()
    site.submit(10)
    site.all_is_well()


def test_a_job_put_back_at_one_server_goes_to_a_runner_that_waits_at_the_other(site: Site) -> None:
    site.start(0)
    a, b = site.servers
    waits = Runner(a.url, invite(site.database, a.url, "waits"), site.end)
    gives = Runner(b.url, invite(site.database, b.url, "gives"), site.end)
    job_id = submit(site.database)
    answer = gives.post("claim", key=secrets.token_hex(16), wait_s=0, robot=ROBOT, software="1")
    assert answer is not None
    got: list[int] = []

    def wait() -> None:
        found = waits.post("claim", key=secrets.token_hex(16), wait_s=9, robot=ROBOT, software="1")
        got.append(found.json()["id"] if found is not None and found.status_code == 200 else 0)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert gives.call(answer.json(), "release")
    waiting.join(60)
    assert got == [job_id]


def test_the_same_wish_at_both_servers_gets_one_job(site: Site) -> None:
    site.start(0)
    a, b = site.servers
    token = invite(site.database, a.url, "goose")
    for _ in range(4):
        submit(site.database)
    wish = {"key": secrets.token_hex(16), "wait_s": 0, "robot": ROBOT, "software": "1"}
    answers: list[tuple[int, str]] = []

    def ask(url: str) -> None:
        answer = Runner(url, token, site.end).post("claim", **wish)
        job = answer.json() if answer is not None and answer.status_code == 200 else {}
        answers.append((job.get("id", 0), job.get("fence", "")))

    threads = [threading.Thread(target=ask, args=(server.url,)) for server in (a, b) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 8
    assert len(set(answers)) == 1, "each was told of another job"
    assert answers[0][1]
