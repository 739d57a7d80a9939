"""Prometheus' figures: true for the whole installation, across processes, and they name nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import postgres as pg
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from server_process import ServerProcess
from server_world import World, add_repository, submit
from sqlalchemy.orm import Session

from github_app import metrics, moves

Figures = dict[tuple[str, ...], float]


def figures(text: str) -> Figures:
    """Values by name and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(world: World) -> Figures:
    answer = world.app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    return figures(answer.text)


def test_the_state_of_the_queue(world: World) -> None:
    robot = world.robot()
    world.submit()
    world.submit()
    robot.running_job()
    found = scrape(world)
    assert found["raas_jobs", "queued"] == found["raas_jobs", "running"] == 1
    assert found["raas_jobs", "claimed"] == 0
    assert found["raas_runners", "online"] == 1
    assert found[("raas_queue_oldest_seconds",)] >= 0
    assert found[("raas_check_runs_behind",)] == 2
    assert found[("raas_deliveries_waiting",)] == 0


def test_totals_are_carried_on_and_every_process_says_the_same(world: World) -> None:
    robot = world.robot()
    world.submit()
    first = robot.running_job()
    later = moves.utc_now() + timedelta(minutes=1)
    here, there = metrics.History(), metrics.History()
    totals: list[Figures] = []
    with world.database.read() as session:
        totals.append(_totals(here, session, later))
    assert totals[0] == {("kind", "queued"): 1, ("kind", "claimed"): 1, ("kind", "running"): 1}
    assert robot.call(first, "finish", conclusion="success", reason="done").status_code == 204
    world.cancel(world.submit())
    for history in (here, there, here):
        with world.database.read() as session:
            totals.append(_totals(history, session, later))
    assert totals[1] == totals[2] == totals[3]
    assert totals[1] == {
        ("kind", "queued"): 2,
        ("kind", "claimed"): 1,
        ("kind", "running"): 1,
        ("kind", "finished"): 1,
        ("kind", "cancelled"): 1,
        ("conclusion", "success"): 1,
        ("conclusion", "cancelled"): 1,
    }


def _totals(history: metrics.History, session: Session, now: datetime) -> Figures:
    return {
        next(iter(sample.labels.items())): sample.value
        for family in history.read(session, now)
        for sample in family.samples
    }


def test_nobody_is_named_and_nobody_invents_labels(world: World) -> None:
    submit(world.database, repository_id=add_repository(world.database, private=True, number=77))
    client = world.app.test_client()
    client.get("/jobs/1")
    client.get("/an/address/that/is/not/there")
    client.open("/another", method="STRANGE")
    text = client.get("/metrics").text
    assert "pendulum-77" not in text
    assert "alice" not in text
    assert "address" not in text
    assert "STRANGE" not in text
    assert 'route="/jobs/<int:job_id>"' in text
    assert 'method="any",route="none",status="404"' in text


@pytest.fixture
def server(tmp_path: Path, postgres: pg.Cluster) -> Iterator[ServerProcess]:
    found = ServerProcess(tmp_path / "data", DATABASE_URL=postgres.database(), WORKERS="2")
    yield found
    found.close()


@pytest.mark.postgres
def test_worker_processes_count_together(server: ServerProcess) -> None:
    server.start()
    before = _readyz(server)
    for _ in range(40):  # each on a connection of its own, so that both get some
        requests.get(f"{server.url}/readyz", timeout=30)
    assert _readyz(server) == before + 40
    server.kill("worker")
    server.wait_ready()
    assert _readyz(server) >= before + 40, "what a dead worker counted stays"


def _readyz(server: ServerProcess) -> float:
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    return figures(text)["raas_http_request_seconds_count", "GET", "/readyz", "200"]
