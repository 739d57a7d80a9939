"""The database: SQLite inside this process, or PostgreSQL shared by several.

Work happens in two kinds of scope, `Database.read()` and `Database.write()`; each is one transaction on one
session. No scope may span a wait for the network: it holds a connection, and on SQLite `write()` holds
the one writer's place.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql import Select

from github_app.statements import Statements, hung_up

Rows = TypeVar("Rows", bound=Select[Any])
Notify = Callable[[str], None]

WRITER_WAIT_S = 30.0
STATEMENTS_MAX = 4
"""Connections for single statements. More of them hold one another up: on two cores, eight claims at once are
a quarter slower over eight connections."""
BUSY_WAIT_MS = 10_000
ABANDONED_MS = 60_000
"""PostgreSQL ends a transaction in which nothing happens for so long; none of ours waits for anything."""


class DatabaseError(Exception):
    """The database cannot be used as it is; the message is one sentence and says what to do."""


class Database:
    """An engine and its scopes.

    Args:
        url: As SQLAlchemy writes it: `sqlite:////absolute/path` or `postgresql+psycopg://…`.
        notify: Called with every topic that `wake` collected, after the commit.
        pool_size: Connections kept open for transactions (PostgreSQL).

    Attributes:
        statements: For single statements that are a transaction each; None on SQLite.
    """

    def __init__(self, url: str, notify: Notify | None = None, *, pool_size: int = 10) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgresql_engine(url, pool_size)
        self._writing = self.engine.execution_options(raas_writes=True)
        # On PostgreSQL each statement sees what is committed when it begins, in a transaction or not; without
        # one, the round trips for its begin and its end are saved. On SQLite a transaction is one snapshot.
        outside = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reading = self.engine.execution_options(**outside)
        self.statements = None if self.is_sqlite else Statements(url, STATEMENTS_MAX)
        self._notify = notify or (lambda topic: None)
        # SQLite has one writer. Waiting for it inside SQLite would stop every greenlet of the process,
        # the one that holds the transaction included; waiting here lets them run.
        self._writer = threading.Lock() if self.is_sqlite else None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A scope that only reads."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that writes: committed at the end, rolled back on an exception.

        Raises:
            DatabaseError: On SQLite, another scope did not end within half a minute.
        """
        if self._writer is not None and not self._writer.acquire(timeout=WRITER_WAIT_S):
            raise DatabaseError("another transaction holds the database; look for a scope that never ends")
        try:
            with Session(self._writing, expire_on_commit=False) as session:
                yield session
                session.commit()
                topics: set[str] = session.info.get("topics", set())
        finally:
            if self._writer is not None:
                self._writer.release()
        self.tell(*sorted(topics))

    def tell(self, *topics: str) -> None:
        """Notify topics now: for what was committed by one of the `statements`."""
        for topic in topics:
            self._notify(topic)

    @staticmethod
    def wake(session: Session, topic: str) -> None:
        """Notify `topic` once this transaction is committed; never if it is not."""
        session.info.setdefault("topics", set()).add(topic)

    def skip_locked(self, statement: Rows) -> Rows:
        """Lock the selected rows and leave out those another process has locked.

        On SQLite a `write()` scope is alone with the database, so there is nothing to lock.
        """
        if self.is_sqlite:
            return statement
        entity = statement.column_descriptions[0]["entity"]
        return statement.with_for_update(skip_locked=True, of=entity)

    @staticmethod
    def insert(session: Session, table: type[DeclarativeBase] | Table) -> postgresql.Insert:
        """An INSERT that may say ON CONFLICT, which SQLAlchemy has in each database's own dialect only."""
        if session.get_bind().dialect.name == "sqlite":
            return cast("postgresql.Insert", sqlite.insert(table))  # the same methods
        return postgresql.insert(table)

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables to the newest form (or to `revision`). Repeating it changes nothing.

        Raises:
            DatabaseError: A newer software has upgraded them already.
        """
        with self._writing.begin() as connection:
            _refuse_newer(connection)
            command.upgrade(_alembic(connection), revision)

    def downgrade(self, revision: str) -> None:
        """Take the tables back to an older form; `base` removes them all."""
        with self._writing.begin() as connection:
            command.downgrade(_alembic(connection), revision)

    def revisions(self) -> tuple[str | None, str]:
        """The revision the tables are at (None: empty database), and the one this software wants.

        Raises:
            DatabaseError: The database cannot hold every text.
        """
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                _refuse_other_encodings(connection)
            current = MigrationContext.configure(connection).get_current_revision()
            head = ScriptDirectory.from_config(_alembic(connection)).get_current_head()
        if head is None:
            raise DatabaseError("the migrations are missing from this installation; install it again")
        return current, head

    def refuse_newer(self) -> None:
        """Raise `DatabaseError` where a newer software has upgraded the tables."""
        with self.engine.connect() as connection:
            _refuse_newer(connection)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self.statements is not None:
            self.statements.close()


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_other_encodings(connection: Connection) -> None:
    name = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if name != "UTF8":
        raise DatabaseError(
            f"the database's encoding is {name}, which cannot hold what people write; make one by"
            " CREATE DATABASE raas ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0"
        )


def _refuse_newer(connection: Connection) -> None:
    script = ScriptDirectory.from_config(_alembic(connection))
    current = MigrationContext.configure(connection).get_current_revision()
    if current not in {None, *(known.revision for known in script.walk_revisions())}:
        raise DatabaseError(
            f"the database is at revision {current}, which a newer raas has made; this one knows"
            f" {script.get_current_head()} at most; install the newer one here too"
        )


def _postgresql_engine(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        pool_use_lifo=True,  # the connection used last has its statements prepared and its caches warm
        max_overflow=pool_size,
        pool_timeout=15,
        connect_args={"connect_timeout": 10, "client_encoding": "utf8"},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # A server whose host goes dark in the middle of a transaction would keep its locks for hours.
        connection.execute(f"SET idle_in_transaction_session_timeout = {ABANDONED_MS}")
        connection.commit()

    @event.listens_for(engine, "checkout")
    def look(connection: Any, record: Any, proxy: Any) -> None:
        # A restarted PostgreSQL has hung up on the pooled connections.
        if hung_up(connection):
            raise DisconnectionError("the server has closed this connection")

    return engine


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=8, max_overflow=32)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # FULL: a commit survives a power cut. GitHub sends a delivery once, and 202 promises that it is kept.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_WAIT_MS}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: a reader that becomes a writer halfway may fail with SQLITE_BUSY.
        writes = connection.get_execution_options().get("raas_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def lock_data_dir(data_dir: Path, *, wait_s: float = 5.0) -> IO[str]:
    """Make sure that this is the only server process on this data directory.

    Args:
        data_dir: Where the lock file is.
        wait_s: How long to wait for a predecessor that is just ending [s].

    Returns:
        The open lock file; the lock lasts as long as it, or a forked child's copy, stays open.

    Raises:
        DatabaseError: Another server runs there.
    """
    file = open(data_dir / "server.lock", "a+")  # noqa: SIM115 - held for the life of the process
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                raise DatabaseError(
                    f"another server (process {holder}) uses {data_dir}; stop it first,"
                    " or set RAAS_DATABASE_URL to a PostgreSQL to run several"
                ) from None
            time.sleep(0.05)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
