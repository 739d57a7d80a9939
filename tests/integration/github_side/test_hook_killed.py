"""A real server process is killed with a delivery stored and no job made yet: nothing is lost or doubled."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from github_lab import MANIFEST, PROGRAM, SECRET, SPOON, environment, free_port
from sqlalchemy import select

from demo.github import serve_in_thread
from github_app import config
from github_app.db import Database
from github_app.models import Delivery, Job

SERVER = Path(sys.executable).with_name("raas-server")


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


@contextmanager
def server(settings: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    url = f"http://{settings['RAAS_BIND']}"
    with log.open("ab") as sink:
        process = subprocess.Popen([SERVER, "serve"], env=settings, stdout=sink, stderr=sink)
    try:
        until(lambda: process.poll() is not None or answers(url))
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def test_killed_between_the_delivery_and_the_job(tmp_path: Path) -> None:
    with serve_in_thread(tmp_path / "github") as github:
        world = github.world
        bind = f"127.0.0.1:{free_port()}"
        made = world.app(
            "raas", manifest=MANIFEST, webhook_secret=SECRET, webhook_url=f"http://{bind}/webhooks/github"
        )
        settings = environment(tmp_path / "raas", github, made, RAAS_BIND=bind)
        database = Database(config.load(settings).database_url)
        database.upgrade()

        def pushes() -> list[Delivery]:
            with database.read() as session:
                return list(session.scalars(select(Delivery).where(Delivery.event == "push")))

        def jobs() -> list[Job]:
            with database.read() as session:
                return list(session.scalars(select(Job)).unique())

        # GitHub does not answer in time, so the server is in the middle of the delivery when it dies.
        world.fault(method="GET", path="/contents/", times=1, delay_s=60)
        with server(settings, tmp_path / "log") as process:
            world.repository(SPOON)
            world.install(made.id, SPOON)
            sha = world.push(SPOON, PROGRAM, user="alice")
            until(lambda: any(row.tries for row in pushes()))
            process.kill()
            process.wait()
        assert [(row.processed_at, row.tries) for row in pushes()] == [(None, 1)]
        assert jobs() == []
        world.clear_faults()

        with server(settings, tmp_path / "log"):
            until(lambda: bool(world.check_runs(SPOON, sha)))
            until(lambda: all(job.reported_event == job.latest_event for job in jobs()))
        (job,) = jobs()
        (run,) = world.check_runs(SPOON, sha)
        assert run["external_id"] == str(job.id)
        assert [row.outcome for row in pushes()] == [f"job for {sha}"]
        database.close()
