"""The server's log: every line says which request and job it is about, and holds no secret of an address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from server_process import ServerProcess


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


def test_lines_for_people(server: ServerProcess) -> None:
    server.start()
    answer = requests.get(f"{server.url}/jobs/17/artifacts/a.txt", timeout=30)
    server.stop()
    where = f"[{answer.headers['X-Request-Id']} job 17] GET /jobs/17/artifacts/a.txt 404"
    assert where in server.log.read_text()
