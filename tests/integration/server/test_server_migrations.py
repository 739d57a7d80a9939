"""Migrations and models say the same, forwards and backwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from dying import Command, Place
from postgres import Cluster
from server_world import MakeSettings, job_request
from sqlalchemy import MetaData, insert, inspect, make_url, select, text

from github_app import migrations, queue, serving
from github_app.columns import Base, UtcDateTime
from github_app.db import Database, DatabaseError
from github_app.identity import Identity
from github_app.models import Job, Repository
from github_app.moves import utc_now

VERSIONS = Path(migrations.__path__[0]) / "versions"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/empty.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()
    database = Database(url)
    yield database
    database.close()


def test_migrations_make_what_the_models_say(empty: Database) -> None:
    empty.upgrade()
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        current, wanted = empty.revisions()
        assert current == wanted


def test_partial_indexes_are_partial(empty: Database) -> None:
    empty.upgrade()
    indexes = {index["name"]: index for index in inspect(empty.engine).get_indexes("jobs")}
    where = indexes["ix_jobs_queued"]["dialect_options"]
    assert any("queued" in str(condition) for condition in where.values())


def test_upgrading_twice_changes_nothing(empty: Database) -> None:
    empty.upgrade()
    empty.upgrade()


def test_down_and_up_again(empty: Database) -> None:
    assert empty.revisions()[0] is None
    empty.upgrade()
    empty.downgrade("base")
    assert set(inspect(empty.engine).get_table_names()) <= {"alembic_version"}
    empty.upgrade()
    assert "jobs" in inspect(empty.engine).get_table_names()


def _fill(database: Database) -> None:
    """Two owners' jobs, as the first release stored them."""
    with database.engine.begin() as connection:
        for number, owner in ((1, "Alice"), (2, "bob")):
            connection.execute(
                text(
                    "INSERT INTO repositories (id, installation_id, owner, name, private, default_branch)"
                    " VALUES (:id, 1, :owner, 'spoon', false, 'main')"
                ),
                {"id": number, "owner": owner},
            )
        for number in range(1, 201):
            connection.execute(
                text(
                    "INSERT INTO jobs (repository_id, trigger, trigger_key, requested_by, sha, ref, config,"
                    " labels, lane, timeout_s, sessions, status, lost, order_key, created_at, attempt, phase,"
                    " log_length, latest_event, reported_event, report_tries, next_report_at) VALUES"
                    " (:repository, 'push', :key, 'x', 'a', 'main', '{}', '[]', 'pendulum', 120, 1,"
                    " :status, false, :tag, :now, :attempt, '', 0, 0, 0, 0, :now)"
                ),
                {
                    "repository": 1 + number % 2,
                    "key": f"k{number}",
                    "status": "queued" if number > 150 else "completed",
                    "tag": float(number),
                    "attempt": 0 if number > 150 else 1,
                    "now": "2026-11-22 12:00:00+00:00" if not database.is_sqlite else "2026-11-22 12:00:00",
                },
            )


def _order(database: Database) -> list[int]:
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT id FROM jobs WHERE status = 'queued' ORDER BY order_key, id"))
        return [number for (number,) in rows]


def test_an_upgrade_of_a_filled_database_keeps_the_order_and_so_does_going_back(empty: Database) -> None:
    empty.upgrade("0001")
    _fill(empty)
    before = _order(empty)
    empty.upgrade()
    assert _order(empty) == before
    with empty.write() as session:
        assert {job.owner for job in session.scalars(select(Job)).unique()} == {"alice", "bob"}
        carol = Repository(
            id=3, installation_id=1, owner="carol", name="x", private=False, default_branch="main"
        )
        session.add(carol)
        session.flush()
        queue.submit(session, job_request(repository_id=3))
        late = queue.submit(session, job_request(repository_id=1)).id
    after = _order(empty)
    assert set(after) - set(before) == set(after[-1:]) | {after[1]}, "carol is next; alice asks for more"
    assert after[-1] == late
    empty.downgrade("0001")
    assert _order(empty) == after
    empty.upgrade()
    assert _order(empty) == after


def _a_row_in_every_table(database: Database) -> None:
    """Each column has a value, and each foreign key leads to the one row of its table."""
    given = {str: "x", float: 1.5, bool: True, bytes: b"x", datetime: utc_now(), dict: {"a": 1}}
    with database.engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            values: dict[str, Any] = {}
            for column in table.columns:
                kind = datetime if isinstance(column.type, UtcDateTime) else column.type.python_type
                values[column.name] = ["x"] if column.name == "labels" else given.get(kind, 1)
            if table.name == "jobs":
                values["rerun_of"] = None
            connection.execute(insert(table).values(values))


def _rows(database: Database) -> dict[str, dict[str, Any]]:
    """The row of each table, by column."""
    tables = MetaData()
    tables.reflect(database.engine)
    with database.engine.connect() as connection:
        found = {
            name: connection.execute(select(table)).mappings().all()
            for name, table in tables.tables.items()
            if name != "alembic_version"
        }
    return {name: dict(rows[0]) for name, rows in found.items() if rows}


def test_a_row_in_every_table_goes_down_step_by_step_and_up_again(empty: Database) -> None:
    empty.upgrade()
    _a_row_in_every_table(empty)
    before = _rows(empty)
    assert before.keys() == Base.metadata.tables.keys()
    steps = sorted(path.name[:4] for path in VERSIONS.glob("0*.py"))
    for revision in reversed(steps[:-1]):
        empty.downgrade(revision)
        older = _rows(empty)
        assert older["jobs"]["trigger_key"] == "x"
        empty.upgrade()
        after = _rows(empty)
        for table, row in older.items():
            kept = {name: value for name, value in after[table].items() if name in row}
            assert kept == {name: before[table][name] for name in kept}, f"{table} from {revision}"


def test_a_server_stays_who_it_is_and_a_new_one_is_another(empty: Database) -> None:
    empty.upgrade()
    name = Identity(empty).name
    empty.downgrade("0014")
    empty.upgrade()
    assert Identity(empty).name == name
    empty.downgrade("base")
    empty.upgrade()
    assert Identity(empty).name != name


def test_an_upgrade_killed_in_the_middle_is_made_whole_by_the_next(empty: Database, tmp_path: Path) -> None:
    empty.upgrade("0001")
    _fill(empty)
    before = _order(empty)
    url = empty.engine.url.render_as_string(hide_password=False)
    environment = os.environ | {"RAAS_DATABASE_URL": url, "RAAS_DATA_DIR": str(tmp_path / "data")}
    upgrade = Command("github_app.cli:main", ("upgrade",), environment, tmp_path / "log")
    upgrade.dies(Place("alembic.runtime.migration:HeadMaintainer.update_to_step", number=5))
    with empty.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0001"
    empty.upgrade()
    assert _order(empty) == before


def test_tables_that_a_newer_software_made_are_left_alone(empty: Database) -> None:
    empty.upgrade()
    with empty.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"revision 9999.*; install the newer one here too"):
        empty.upgrade()
    with pytest.raises(DatabaseError, match="install the newer one"):
        empty.refuse_newer()


@pytest.mark.postgres
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Cluster, encoding: str) -> None:
    url = postgres.database()
    name = f"in_{encoding.lower()}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode()
        )
    database = Database(make_url(url).set(database=name).render_as_string(hide_password=False))
    with pytest.raises(DatabaseError, match=f"encoding is {encoding}.*ENCODING 'UTF8'"):
        database.revisions()
    database.close()


@pytest.mark.postgres
def test_a_server_on_an_older_schema_says_what_to_do(postgres: Cluster, make_settings: MakeSettings) -> None:
    url = postgres.database()
    database = Database(url)
    database.upgrade("0001")
    with pytest.raises(DatabaseError, match=r"at revision 0001.*run `raas-server upgrade`"):
        serving.prepare(make_settings(DATABASE_URL=url))
    database.upgrade()
    serving.prepare(make_settings(DATABASE_URL=url))
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="install the newer one"):
        serving.prepare(make_settings(DATABASE_URL=url))
    database.close()
