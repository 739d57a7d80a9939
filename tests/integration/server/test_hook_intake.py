"""Deliveries that arrive together share commits: each stored once, each told the truth."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from github_app.db import Database
from github_app.intake import Arrival, Intake
from github_app.models import Delivery

COUNT = 120


@pytest.fixture
def commits(database: Database) -> Iterator[list[int]]:
    found: list[int] = []

    def note(_: object) -> None:
        found.append(1)

    event.listen(database.engine, "commit", note)
    yield found
    event.remove(database.engine, "commit", note)


def arrival(number: int, outcome: str | None = None) -> Arrival:
    return Arrival(f"guid-{number}", "push", b"%d" % number, outcome)


def test_many_at_once_are_all_stored_in_few_commits(database: Database, commits: list[int]) -> None:
    intake = Intake(database)
    with ThreadPoolExecutor(24) as pool:
        stored = list(pool.map(lambda number: intake.store(arrival(number)), range(COUNT)))
    assert stored == [True] * COUNT
    assert len(commits) < COUNT / 2
    with database.read() as session:
        rows = session.scalars(select(Delivery)).all()
    assert {row.payload for row in rows} == {b"%d" % number for number in range(COUNT)}
    assert {(row.tries, row.processed_at) for row in rows} == {(0, None)}


def test_of_one_guid_exactly_one_is_stored(database: Database) -> None:
    intake, other = Intake(database), Intake(database)
    with ThreadPoolExecutor(24) as pool:
        stored = list(pool.map(lambda n: (intake, other)[n % 2].store(arrival(n % 7)), range(COUNT)))
    assert sum(stored) == 7
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 7


def test_what_starts_nothing_is_settled_at_once(database: Database) -> None:
    Intake(database).store(arrival(1, "left alone: not a branch"))
    with database.read() as session:
        row = session.scalars(select(Delivery)).one()
    assert row.processed_at is not None
    assert row.outcome == "left alone: not a branch"


def test_everybody_who_waits_hears_that_it_failed(database: Database) -> None:
    intake = Intake(database)
    with database.write() as session:
        session.execute(text("ALTER TABLE deliveries RENAME TO elsewhere"))

    def attempt(number: int) -> bool:
        with pytest.raises(SQLAlchemyError):
            intake.store(arrival(number))
        return True

    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(attempt, range(8)))
    finally:
        with database.write() as session:
            session.execute(text("ALTER TABLE elsewhere RENAME TO deliveries"))
    assert intake.store(arrival(1))
