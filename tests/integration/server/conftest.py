"""Fixtures of the server's tests: settings, real databases, an application."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import postgres as pg
import pytest
import s3_server
from checking_store import checking
from needs import need
from server_world import MakeSettings, World

from github_app import app as application
from github_app import config
from github_app.config import Settings
from github_app.db import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[pg.Cluster]:
    """A PostgreSQL server."""
    need(pg.missing() is None, "PostgreSQL", pg.missing() or "")
    cluster = pg.Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def postgres_url(postgres: pg.Cluster) -> str:
    """An upgraded database; `database_url` empties it for each test."""
    url = postgres.database()
    _upgrade(url)
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise a file."""
    path = tmp_path_factory.mktemp("template") / "raas.sqlite3"
    _upgrade(f"sqlite:///{path}")
    return path


def _upgrade(url: str) -> None:
    database = Database(url)
    database.upgrade()
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, upgraded database of each kind."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        pg.empty(url)
        return url
    path = tmp_path / "raas.sqlite3"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, open."""
    found = Database(database_url)
    yield found
    found.close()


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3."""
    with s3_server.serve(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, and this process knows its credentials."""
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return s3_address


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings with a data directory of their own; names without their `RAAS_`."""

    def make(**values: str) -> Settings:
        defaults = {"DATA_DIR": str(tmp_path / "data"), "OWNERS": "*", "PUBLIC_URL": "http://raas.test"}
        return config.load({f"RAAS_{name}": value for name, value in (defaults | values).items()})

    return make


@pytest.fixture
def world(make_settings: MakeSettings, database_url: str) -> Iterator[World]:
    """An application over each kind of database, without background loops, and the means to act on it."""
    app = application.create_app(make_settings(DATABASE_URL=database_url))
    yield World(app)
    application.close(app)


@pytest.fixture
def checking_s3(s3: str) -> Iterator[str]:
    """One that looks at what it is given."""
    with checking(s3) as address:
        yield address


@pytest.fixture(params=["file", "s3", "checking_s3"])
def world_over_each_store(
    request: pytest.FixtureRequest, make_settings: MakeSettings, sqlite_template: Path
) -> Iterator[World]:
    """An application over each kind of store."""
    settings = make_settings()
    if request.param != "file":
        settings = make_settings(**s3_server.settings(request.getfixturevalue(request.param)))
    (settings.data_dir / "raas.sqlite3").write_bytes(sqlite_template.read_bytes())
    app = application.create_app(settings)
    yield World(app)
    application.close(app)
