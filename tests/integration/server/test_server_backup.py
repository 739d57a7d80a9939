"""A backup of a running server, put back elsewhere, is the same server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import postgres as pg
import pytest
from server_world import MakeSettings, World, piece, upload

from github_app import app as application
from github_app import backup, services
from github_app.backup import BackupError
from github_app.config import Settings
from github_app.db import Database
from runner.protocol import PREFIX


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def two_settings(
    request: pytest.FixtureRequest,
    make_settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Settings, Settings]:
    """Those of a server, and of a fresh one of the same kind."""
    found = []
    for name in ("here", "there"):
        values = {"DATA_DIR": str(tmp_path / name)}
        if request.param == "postgresql":
            cluster: pg.Cluster = request.getfixturevalue("postgres")
            values["DATABASE_URL"] = cluster.database()
            monkeypatch.setenv("PATH", f"{pg.BINARIES[0]}:/usr/bin:/bin")
        found.append(make_settings(**values))
    return found[0], found[1]


def upgraded(settings: Settings) -> None:
    database = Database(settings.database_url)
    database.upgrade()
    database.close()


def test_there_and_back(two_settings: tuple[Settings, Settings], tmp_path: Path) -> None:
    here, there = two_settings
    upgraded(here)
    app = application.create_app(here)
    identity = services.of(app).identity.name
    world = World(app)
    robot = world.robot()
    world.submit()
    held = robot.running_job()
    robot.call(held, "heartbeat", phase="running", log=piece(0, b"hello\n"))
    upload(world, robot, held, "a.txt", b"data")
    assert robot.call(held, "finish", conclusion="success", reason="done").status_code == 204
    (here.data_dir / "github-app.json").write_text("{}")
    target = tmp_path / "backups" / "raas"
    first = backup.make(here, target)
    assert "artifacts: 1 new, 0 were there" in first
    world.submit()  # what comes later is not in it, but in the next
    second = backup.make(here, target)
    assert "artifacts: 0 new, 1 were there" in second
    application.close(app)

    assert "jobs: the next is number 1004" in " ".join(backup.restore(there, target))
    assert (there.data_dir / "secret.key").read_text() == (here.data_dir / "secret.key").read_text()
    assert (there.data_dir / "github-app.json").stat().st_mode & 0o777 == 0o600
    again = application.create_app(there)
    assert services.of(again).identity.name == identity, "to robots it is the same server"
    client = again.test_client()
    with client.get(f"/jobs/{held['id']}/artifacts/a.txt") as answer:
        assert answer.data == b"data"
    jobs = client.get("/api/v1/jobs").get_json()["jobs"]
    assert sorted(job["status"] for job in jobs) == ["completed", "queued"]
    elsewhere = again.test_client().post(
        f"{PREFIX}/claim", headers=robot.headers, json={}
    )  # the token is known there too
    assert elsewhere.status_code != 401
    assert [World(again).submit() for _ in range(2)] == [1004, 1005], "no number is given to two jobs"
    application.close(again)
    with pytest.raises(BackupError, match="restore into an empty"):
        backup.restore(there, target)


def test_where_more_came_since_the_backup_than_before_it(
    two_settings: tuple[Settings, Settings], tmp_path: Path
) -> None:
    here, there = two_settings
    upgraded(here)
    backup.make(here, tmp_path / "copy")
    assert "number 7000," in backup.restore(there, tmp_path / "copy", first_job=7000)[-1]
    app = application.create_app(there)
    assert World(app).submit() == 7000
    application.close(app)


def test_an_unfinished_backup_is_refused(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    upgraded(settings)
    target = tmp_path / "copy"
    backup.make(settings, target)
    (target / "backup.json").unlink()
    with pytest.raises(BackupError, match=r"holds no backup\.json"):
        backup.restore(make_settings(DATA_DIR=str(tmp_path / "new")), target)


def test_a_directory_with_other_things_is_left_alone(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    upgraded(settings)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    with pytest.raises(BackupError, match="holds other things"):
        backup.make(settings, tmp_path / "home")


def test_no_room(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    upgraded(settings)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        with pytest.raises(BackupError, match="free space"):
            backup.make(settings, small)
        with pytest.raises(BackupError, match="not finished"):
            backup.restore(make_settings(DATA_DIR=str(tmp_path / "new")), small)
    finally:
        subprocess.run(["umount", small], check=True)
