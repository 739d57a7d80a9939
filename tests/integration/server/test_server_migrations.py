"""Migrations and models say the same, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from github_app.db import Database
from github_app.models import Base


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
