"""One SQLite file: a write at a time, readers never wait (write-ahead log)."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateTable

from demo.github.models import Base

# Ids past 2^31, as GitHub's are: a client with 32-bit columns should fail here and not in production.
FIRST_IDS = {
    "accounts": 90_000_000,
    "repositories": 1_200_000_000,
    "apps": 1_100_000,
    "installations": 80_000_000,
    "issues": 2_900_000_000,
    "pulls": 2_400_000_000,
    "comments": 2_800_000_000,
    "reactions": 300_000_000,
    "check_suites": 40_000_000_000,
    "check_runs": 50_000_000_000,
    "deliveries": 90_000_000_000,
}


class SchemaError(Exception):
    """The file has tables of another version."""


class Database:
    """Sessions over the stand-in's SQLite file. Threads may share it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)
        self._writing = self._engine.execution_options(immediate=True)
        with self._writing.begin() as connection:
            _check_schema(connection)
            Base.metadata.create_all(connection)
            _seed_ids(connection)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that sees one consistent state."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that holds the write lock from its first statement and commits at the end."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def _on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN is off, so that ours can be immediate: else a read that turns into a write fails.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _check_schema(connection: Connection) -> None:
    """Mark a new file with its tables' checksum; refuse a file with other tables."""
    ddl = "".join(str(CreateTable(table)) for table in Base.metadata.sorted_tables)
    ours = zlib.crc32(ddl.encode()) & 0x7FFFFFFF
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found not in (0, ours):
        raise SchemaError(
            "This folder was written by another version of the stand-in; choose or make an empty one."
        )
    connection.exec_driver_sql(f"PRAGMA user_version = {ours}")


def _seed_ids(connection: Connection) -> None:
    for table, first in FIRST_IDS.items():
        known = connection.execute(
            text("SELECT 1 FROM sqlite_sequence WHERE name = :table"), {"table": table}
        ).first()
        if known is None:
            connection.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :first)"),
                {"table": table, "first": first},
            )
