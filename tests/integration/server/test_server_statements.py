"""Connections for single statements: kept, limited, and left alone once they are broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from github_app import statements as statements_
from github_app.statements import Statements

pytestmark = pytest.mark.postgres

ME = "SELECT pg_backend_pid()"


@pytest.fixture
def statements(postgres_url: str) -> Iterator[Statements]:
    two = Statements(postgres_url, 2)
    yield two
    two.close()


def backend(statements: Statements) -> int:
    row = statements.row(ME, {})
    assert row is not None
    return int(row[0])


def end(url: str, pid: int) -> None:
    """As a restart of PostgreSQL does it."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_connection_is_used_again(statements: Statements) -> None:
    assert len({backend(statements) for _ in range(5)}) == 1


def test_no_row_is_none(statements: Statements) -> None:
    assert statements.row("SELECT 1 WHERE %(no)s", {"no": False}) is None


def test_a_value_may_be_of_another_kind_the_next_time(statements: Statements) -> None:
    for value in (1, 70_000, 1 << 40, None, -1):
        assert statements.row("SELECT %(n)s::bigint, %(n)s IS NULL", {"n": value}) == (value, value is None)


def test_long_values_are_sent_whole_to_who_answers_at_length(statements: Statements) -> None:
    long = "y" * 5_000_000
    assert statements.row("SELECT %(long)s", {"long": long}) == (long,)


def test_values_keep_their_kinds(statements: Statements) -> None:
    now = datetime(2026, 11, 26, 12, 0, 0, 123456, tzinfo=UTC)
    row = statements.row("SELECT %(now)s, %(yes)s, %(x)s, to_jsonb(%(text)s::text)", {
        "now": now, "yes": True, "x": 0.1, "text": "ä\"%%(s)s",
    })  # fmt: skip
    assert row == (now, True, 0.1, 'ä"%%(s)s')


def test_no_more_than_so_many_are_opened_and_everybody_gets_one(statements: Statements) -> None:
    def work(_: int) -> int:
        row = statements.row("SELECT pg_backend_pid(), pg_sleep(0.01)", {})
        assert row is not None
        return int(row[0])

    with ThreadPoolExecutor(8) as crowd:
        assert len(set(crowd.map(work, range(40)))) == 2


def test_a_wrong_statement_is_said_so_and_costs_no_connection(statements: Statements) -> None:
    before = backend(statements)
    for _ in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            statements.row("SELECT 1 / %(zero)s::int", {"zero": 0})
    assert backend(statements) == before


def test_one_that_postgresql_has_closed_is_replaced_unasked(
    statements: Statements, postgres_url: str
) -> None:
    before = backend(statements)
    end(postgres_url, before)
    assert backend(statements) != before


def test_one_that_breaks_during_a_statement_makes_room_for_another(statements: Statements) -> None:
    for _ in range(5):  # more often than there are places
        with pytest.raises(psycopg.OperationalError):
            statements.row("SELECT pg_terminate_backend(pg_backend_pid())", {})
    assert backend(statements)


def test_a_row_that_somebody_holds_keeps_no_connection(
    statements: Statements, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements_, "LOCK_WAIT_MS", 50)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as holder:
        holder.execute("CREATE TABLE held AS SELECT 1 AS number")
        holder.commit()
        holder.execute("UPDATE held SET number = 2")
        with pytest.raises(psycopg.OperationalError):
            statements.row("UPDATE held SET number = 3 RETURNING number", {})
        holder.execute("DROP TABLE held")
    assert backend(statements)


KILLED = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from github_app.statements import Statements

two = Statements(sys.argv[1], 2)
sleepers = [gevent.spawn(two.row, "SELECT pg_sleep(60)", {}) for _ in range(2)]
late = gevent.spawn(two.row, "SELECT 'late ' || repeat('x', %(n)s)", {"n": 500_000})
gevent.sleep(0.5)
assert not late.ready()
gevent.killall(sleepers)
assert len(late.get(timeout=20)[0]) == 500_005
assert two.row("SELECT length(%(long)s)", {"long": "y" * 5_000_000}) == (5_000_000,)
two.close()
"""


def test_a_killed_greenlet_leaves_its_place_and_no_answer_behind(postgres_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, postgres_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
