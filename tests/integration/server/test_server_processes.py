"""Processes: the command line, one server on SQLite, several on PostgreSQL."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import postgres as pg
import pytest
from server_process import ServerProcess
from server_world import MakeSettings, World

from github_app import app as application
from github_app.background import Background, Loop
from github_app.db import Database, lock_data_dir
from github_app.notices import Notices
from github_app.wakeups import Wakeups


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {f"RAAS_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "github_app.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    done = run("upgrade", DATA_DIR=str(tmp_path), OWNERS="")
    assert done.returncode == 2
    assert re.fullmatch(r"raas-server: RAAS_OWNERS is empty; [^\n]+\n", done.stderr)


def test_the_data_directory_is_all_it_takes(server: ServerProcess) -> None:
    keep = {"RAAS_DATA_DIR", "RAAS_BIND"}  # the port only because another server may have the usual one
    server.environment = {
        name: value
        for name, value in server.environment.items()
        if not name.startswith("RAAS_") or name in keep
    }
    server.start()
    assert server.stop() == 0


def test_systemd_is_told_when_it_listens(server: ServerProcess, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, TemporaryDirectory() as short:
        systemd.bind(f"{short}/notify")
        systemd.settimeout(60)
        server.environment["NOTIFY_SOCKET"] = f"{short}/notify"
        server.start(ready=False)
        assert systemd.recv(1000).startswith(b"READY=1\n")
        with socket.create_connection(("127.0.0.1", server.port), 5):
            pass


def test_the_doctor_says_what_to_do(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path), "OWNERS": "*"}
    sick = run("doctor", **settings)
    assert sick.returncode == 1
    assert "run `raas-server upgrade`" in sick.stdout
    assert "problem GitHub App: there is none yet; `raas-server setup`" in sick.stdout
    assert run("upgrade", **settings).stdout.startswith("upgraded the database to ")
    key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True).stdout
    known = {"GITHUB_APP_ID": "7", "GITHUB_PRIVATE_KEY": key, "GITHUB_WEBHOOK_SECRET": "s"}
    known["GITHUB_API_URL"] = "http://127.0.0.1:9"  # nobody is there: `test_setup_doctor` has a GitHub
    well = run("doctor", **settings, **known)
    problems = [line for line in well.stdout.splitlines() if line.startswith("problem")]
    assert (well.returncode, len(problems)) == (1, 1)
    assert problems[0].startswith("problem GitHub App: http://127.0.0.1:9 could not be asked")
    assert re.search(r"warning owners: everybody .*; set RAAS_OWNERS to", well.stdout)
    assert "ok      owners: alice" in run("doctor", **settings | {"OWNERS": "alice"}, **known).stdout


def test_runners_are_added_listed_and_revoked(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path), "OWNERS": "*"}
    added = run("runner", "add", "goose", "--labels", "pendulum, left", **settings)
    assert re.fullmatch(r"[\w-]{43}\n", added.stdout)
    assert "raas-runner register --server http://127.0.0.1:8000 --token " in added.stderr
    assert re.match(
        r"goose +left,pendulum +invited, not registered", run("runner", "list", **settings).stdout
    )
    assert run("runner", "revoke", "goose", **settings).returncode == 0
    assert "revoked" in run("runner", "list", **settings).stdout
    unknown = run("runner", "revoke", "swan", **settings)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
    assert run("runner", "add", "Bad Name", **settings).returncode == 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path / "data")
    yield process
    process.close()


def test_a_second_server_on_sqlite_refuses_to_start(server: ServerProcess) -> None:
    first = server.start()
    second = subprocess.run(
        [sys.executable, "-m", "github_app.cli", "serve"],
        env=server.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"another server (process {first.pid}) uses" in second.stderr
    assert "Traceback" not in second.stderr
    assert server.ready()


def test_the_lock_is_free_after_its_holder(tmp_path: Path) -> None:
    lock_data_dir(tmp_path).close()
    lock_data_dir(tmp_path, wait_s=0).close()


@pytest.mark.postgres
def test_a_job_wakes_a_runner_that_waits_at_another_process(
    make_settings: MakeSettings, postgres_url: str, tmp_path: Path
) -> None:
    pg.empty(postgres_url)
    here = World(application.create_app(make_settings(DATABASE_URL=postgres_url)))
    there = application.create_app(make_settings(DATABASE_URL=postgres_url, DATA_DIR=str(tmp_path / "there")))
    loops = [Background(here.app), Background(there)]
    for each in loops:
        each.start()
    robot = here.robot()
    robot.client = there.test_client()
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(robot.claim(wait_s=30).status_code))
    waiting.start()
    while not len(World(there).services.dispatcher):
        time.sleep(0.01)
    here.submit()
    waiting.join(30)
    assert answers == [200]
    for each in loops:
        each.stop()
    for app in (here.app, there):
        application.close(app)


@pytest.mark.postgres
def test_notices_cross_processes_and_survive_a_restart_of_the_database() -> None:
    cluster = pg.Cluster()
    url = cluster.database()
    one, two = Wakeups(), Wakeups()
    relays = [Notices(url, one), Notices(url, two)]
    for relay in relays:
        relay.start()
    try:
        assert _heard(one, two, "job:7")
        cluster.stop(signal.SIGQUIT)
        cluster.start()
        assert _heard(one, two, "job:8")
    finally:
        for relay in relays:
            relay.stop()
        cluster.close()


def _heard(sender: Wakeups, listener: Wakeups, topic: str) -> bool:
    deadline = time.monotonic() + 30
    with listener.listen(topic) as ear:
        while time.monotonic() < deadline:
            sender.notify(topic)
            if ear.wait(0.2):
                return True
    return False


@pytest.mark.postgres
def test_connections_survive_a_restart_of_the_database() -> None:
    cluster = pg.Cluster()
    database = Database(cluster.database())
    database.upgrade()
    cluster.stop(signal.SIGQUIT)
    cluster.start()
    assert database.revisions()[0] is not None
    database.close()
    cluster.close()


def test_a_loop_survives_what_its_work_raises(world: World, caplog: pytest.LogCaptureFixture) -> None:
    loops = Background(world.app)
    done = threading.Event()
    calls: list[float] = []

    def work() -> int:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise ValueError("something unforeseen")
        done.set()
        return 0

    with caplog.at_level(logging.ERROR):
        thread = threading.Thread(target=loops._run, args=(Loop("test", ("topic",), 30.0, work),))
        thread.start()
        assert done.wait(20)
        done.clear()
        world.services.wakeups.notify("topic")
        assert done.wait(20), "a wake-up runs it at once"
        loops._stopping.set()
        world.services.wakeups.notify("stop")
        thread.join(20)
    assert "something unforeseen" in caplog.text
    assert calls[1] - calls[0] >= 1.0, "it pauses after a failure"
