"""The server's log: every line says which request and job it is about, and holds no secret of an address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from server_process import ServerProcess
from server_world import World

from github_app.jobs import EventKind
from github_app.moves import locked, move, utc_now
from raas_gym.daemon_logs import job_of
from runner.protocol import Conclusion


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    found = ServerProcess(tmp_path / "data")
    yield found
    found.close()


def test_lines_for_programs(server: ServerProcess) -> None:
    server.environment["RAAS_LOG_FORMAT"] = "json"
    server.start()
    answer = requests.get(f"{server.url}/jobs/17/artifacts/a.txt?signature=hush", timeout=30)
    assert answer.status_code == 404
    server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (asked,) = (line for line in lines if line.get("path") == "/jobs/17/artifacts/a.txt")
    assert (asked["job"], asked["status"], asked["method"]) == (17, 404, "GET")
    assert asked["request"] == answer.headers["X-Request-Id"]
    assert asked["milliseconds"] > 0
    assert "hush" not in server.log.read_text()


def test_nobody_writes_lines_in_our_name(server: ServerProcess) -> None:
    server.start()
    requests.get(f"{server.url}/jobs/%0a2026-01-01 INFO forged%1b[2J", timeout=30)
    server.stop()
    assert "/jobs/\\n2026-01-01 INFO forged\\x1b[2J 404" in server.log.read_text()


def test_a_job_s_moves_are_told_once_they_are_true(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    number = world.submit()
    held = world.robot().running_job()
    told = [record.getMessage() for record in caplog.records if job_of(record) == number == held["id"]]
    assert told == [
        f"job {number}: queued by=alice trigger=push",
        f"job {number}: claimed (attempt 1)",
        f"job {number}: running ",
    ]
    with suppress(ZeroDivisionError), world.database.write() as session:
        move(
            session, locked(session, number), EventKind.FINISHED, now=utc_now(), conclusion=Conclusion.FAILURE
        )
        raise ZeroDivisionError
    assert "finished" not in caplog.text


def test_lines_for_people(server: ServerProcess) -> None:
    server.start()
    answer = requests.get(f"{server.url}/jobs/17/artifacts/a.txt", timeout=30)
    server.stop()
    where = f"[{answer.headers['X-Request-Id']} job 17] GET /jobs/17/artifacts/a.txt 404"
    assert where in server.log.read_text()
