"""What is old is given up: in a directory and in a real S3, on SQLite and PostgreSQL, over interruptions."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import s3_server
from server_world import MakeSettings, Robot, World, piece, upload
from sqlalchemy import func, select

from github_app import app as application
from github_app import artifacts, moves, retention, services, sessions
from github_app.columns import Base
from github_app.config import ConfigError
from github_app.models import Artifact, Delivery, LogChunk, RateLimit, WebSession
from github_app.stores import Blob, StoreError

DAY = timedelta(days=1)


@pytest.fixture(params=["file", "s3"])
def world(request: pytest.FixtureRequest, make_settings: MakeSettings, database_url: str) -> Iterator[World]:
    values = {"DATABASE_URL": database_url, "SECRET_KEY": "k" * 40}
    if request.param == "s3":
        values |= s3_server.settings(request.getfixturevalue("s3"))
    app = application.create_app(make_settings(**values))
    yield World(app)
    application.close(app)


def finished_job(world: World, robot: Robot, name: str = "results/a.txt") -> int:
    """A job with a log and a file."""
    world.submit()
    held = robot.running_job()
    robot.call(held, "heartbeat", phase="running", log=piece(0, b"hello\n"))
    upload(world, robot, held, name, b"data")
    assert robot.call(held, "finish", conclusion="success", reason="done").status_code == 204
    return int(held["id"])


def count(world: World, model: type) -> int:
    with world.database.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def sweep(world: World, days: float) -> int:
    """Everything that is due after so many days."""
    total = 0
    while done := retention.sweep(world.services, now=moves.utc_now() + days * DAY):
        total += done
    return total


def blob_of(world: World, job_id: int) -> Blob:
    """Where the job's file lies."""
    with world.database.read() as session:
        return artifacts.blob_of(session.scalars(select(Artifact).where(Artifact.job_id == job_id)).one())


def in_store(world: World, blob: Blob) -> bool:
    """Whether the store still has it."""
    try:
        return world.services.store.head(blob, 100) == b"data"
    except StoreError:
        return False


def test_young_jobs_keep_everything(world: World) -> None:
    job_id = finished_job(world, world.robot())
    assert sweep(world, 89) == 0
    assert in_store(world, blob_of(world, job_id))
    assert count(world, LogChunk) == 1


def test_old_jobs_lose_log_and_files_but_stay(world: World) -> None:
    robot = world.robot()
    old = finished_job(world, robot)
    file = blob_of(world, old)
    world.submit()
    waiting = robot.running_job()
    robot.call(waiting, "heartbeat", phase="running", log=piece(0, b"still running\n"))
    upload(world, robot, waiting, "b.txt", b"data")
    sweep(world, 91)
    assert not in_store(world, file)
    assert count(world, LogChunk) == count(world, Artifact) == 1, "the running job's"
    client = world.app.test_client()
    for gone in ("artifacts/results/a.txt", "log"):
        answer = client.get(f"/jobs/{old}/{gone}")
        assert (answer.status_code, "It was removed" in answer.text) == (410, True)
    shown = client.get(f"/api/v1/jobs/{old}").get_json()
    assert (shown["conclusion"], shown["artifacts"]) == ("success", [])
    page = client.get(f"/jobs/{old}").text
    assert "were removed on" in page
    assert "The log was removed on" in page
    assert "printed nothing" not in page
    assert f"/jobs/{old}/artifacts" not in page
    assert sweep(world, 91) == 0


def test_a_store_that_is_away_is_tried_again(
    world: World, make_settings: MakeSettings, s3: str, tmp_path: Path
) -> None:
    job_id = finished_job(world, world.robot())
    file = blob_of(world, job_id)
    with socket.socket() as nobody:  # bound, but nobody listens
        nobody.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        values = s3_server.settings(away) | {"DATABASE_URL": world.services.settings.database_url}
        other = application.create_app(make_settings(DATA_DIR=str(tmp_path / "other"), **values))
        retention.sweep(services.of(other), now=moves.utc_now() + 91 * DAY)
        application.close(other)
    assert in_store(world, file)
    assert count(world, Artifact) == 1
    assert world.app.test_client().get(f"/jobs/{job_id}/artifacts/results/a.txt").status_code == 410
    sweep(world, 91)
    assert not in_store(world, file)
    assert count(world, Artifact) == 0


def test_only_deliveries_that_were_worked_on_go(world: World) -> None:
    now = moves.utc_now()
    with world.database.write() as session:
        for guid, processed in (("old", now), ("waits", None)):
            session.add(
                Delivery(
                    guid=guid,
                    event="push",
                    payload=b"{}",
                    received_at=now,
                    processed_at=processed,
                    next_try_at=now,
                )
            )
    assert sweep(world, 29) == 0
    assert sweep(world, 31) == 1
    with world.database.read() as session:
        assert session.scalars(select(Delivery.guid)).all() == ["waits"]


GIVEN_UP = {"deliveries", "log_chunks", "artifacts", "web_sessions", "rate_limits"}
"""Tables that `retention` empties."""
COUNTED = {
    "jobs": "kept for ever, some 2 kB each: verdicts and scores are what the installation is for",
    "job_events": "some ten rows a job",
    "bests": "one row for a repository, task and robot",
    "passports": "one row for a calibration",
    "repositories": "one row for each the App was installed on",
    "owners": "one row for whoever had a job",
    "runners": "one row for a robot",
    "turns": "one row for a periodic work",
    "facts": "what the installation knows of itself, and one token of each runner",
}
"""Tables that grow with what they count only."""


def test_every_table_is_bounded_or_counted() -> None:
    assert set(Base.metadata.tables) == GIVEN_UP | set(COUNTED)


def test_sessions_that_ran_out_and_old_counts_go(world: World) -> None:
    now = moves.utc_now()
    with world.database.write() as session:
        sessions.begin(session, login="alice", person_id=1, private_repositories=[], now=now)
        session.add(RateLimit(installation_id=7, hour=int(now.timestamp() // 3600)))
    assert sweep(world, 6) == 0
    assert sweep(world, 7.1) == 2
    assert count(world, WebSession) == count(world, RateLimit) == 0


def test_forever(make_settings: MakeSettings) -> None:
    assert make_settings(KEEP_DAYS="forever").keep_s is None
    assert make_settings(KEEP_DAYS="7").keep_s == 7 * 86400
    with pytest.raises(ConfigError, match="RAAS_KEEP_DAYS is '0'; write a number of days"):
        make_settings(KEEP_DAYS="0")
