"""PostgreSQL connections on which each statement is a transaction: one round trip for both.

For what happens thousands of times a minute: a runner's call, a claim. They are kept apart from SQLAlchemy's
pool, which costs more than such a statement itself, and so does waiting for its answer by a `poll` that is
made anew each time; everything else is better off there.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Mapping
from typing import Any, TypeVar

import gevent
import psycopg
from gevent import monkey
from gevent.hub import Hub
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait
from sqlalchemy.engine import make_url

CONNECT_WAIT_S = 10
LOCK_WAIT_MS = 2000
"""A server that was cut off in a transaction holds its rows longer: they must not keep all connections."""
PLACE_WAIT_S = 15.0
"""Longest wait for a connection that another greenlet or thread holds [s]."""

Result = TypeVar("Result")
Row = tuple[Any, ...]

_poll = monkey.get_original("select", "poll")
"""Not gevent's, which lets all other greenlets run before it answers, even where it is not to wait."""


def hung_up(connection: psycopg.Connection[Any]) -> bool:
    """Whether PostgreSQL has closed an idle connection, as at a restart: it can be read from, then.

    Looking costs nothing, where a ping would cost a round trip.
    """
    poll = _poll()  # unlike select(), it knows file numbers above 1,023
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class Statements:
    """A few connections, opened as they are needed. Safe for threads and greenlets.

    Args:
        url: The database, as SQLAlchemy writes it.
        size: Most connections.
    """

    def __init__(self, url: str, size: int) -> None:
        parsed = make_url(url).set(drivername="postgresql")
        self._dsn = parsed.render_as_string(hide_password=False)
        self._size = size
        self._open = 0
        self._idle: list[psycopg.Cursor[Row]] = []
        self._returned = threading.Condition()
        self._waiting = 0

    def row(self, statement: str, values: Mapping[str, Any]) -> Row | None:
        """Execute a statement that gives one row at most, and commit it.

        Raises:
            psycopg.Error: It failed; an `OperationalError` where it waited too long for a row or connection,
                or where the connection broke, and then it may be committed all the same.
        """
        cursor = self._take()
        try:
            return cursor.execute(statement, values, prepare=True).fetchone()
        except BaseException as error:
            if not isinstance(error, psycopg.Error):  # a greenlet that was killed: the answer is to come yet
                cursor.connection.close()
            raise
        finally:
            self._give_back(cursor)

    def _take(self) -> psycopg.Cursor[Row]:
        """The connection used last: its statements are prepared and its caches are warm."""
        while True:
            try:
                cursor = self._idle.pop()  # nearly always there, and no lock is needed for it
            except IndexError:
                if self._may_connect():
                    return self._connect()
                continue
            if not hung_up(cursor.connection):
                return cursor
            cursor.connection.close()
            self._give_back(cursor)

    def _may_connect(self) -> bool:
        """Wait for a connection, or room for one; whether there is room, which is taken then."""
        with self._returned:
            self._waiting += 1
            try:
                came = self._returned.wait_for(lambda: self._idle or self._open < self._size, PLACE_WAIT_S)
            finally:
                self._waiting -= 1
            if not came:
                raise psycopg.OperationalError("all connections are busy")
            if self._idle:
                return False
            self._open += 1
            return True

    def _connect(self) -> psycopg.Cursor[Row]:
        try:
            connection = _Connection.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_WAIT_S)
            connection.execute(f"SET lock_timeout = {LOCK_WAIT_MS}")
        except BaseException:
            self._make_room()
            raise
        return connection.cursor()

    def _make_room(self) -> None:
        with self._returned:
            self._open -= 1
            self._returned.notify()

    def _give_back(self, cursor: psycopg.Cursor[Row]) -> None:
        if cursor.connection.closed:
            self._make_room()
            return
        self._idle.append(cursor)
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            cursor = self._idle.pop()
            cursor.connection.close()
            self._give_back(cursor)


class _Connection(psycopg.Connection[Row]):
    """Waits for PostgreSQL by one watcher of gevent's loop, where the process runs on that."""

    _hub: Hub | None = None
    _readable: Any = None

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """Run one of psycopg's generators to its end."""
        if timeout is not None or not monkey.is_module_patched("select"):
            return super().wait(gen, interval, timeout)
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(self._until(wanted))
        except StopIteration as end:
            result: Result = end.value
            return result

    def _until(self, wanted: Wait) -> Ready:
        if wanted != Wait.R:  # something long is sent: rare
            return self._until_either(wanted)
        hub = gevent.get_hub()
        if hub is not self._hub:
            self._hub, self._readable = hub, hub.loop.io(self.pgconn.socket, int(Wait.R))
        hub.wait(self._readable)
        return Ready.R

    def _until_either(self, wanted: Wait) -> Ready:
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLOUT | (select.POLLIN if wanted & Wait.R else 0))
        ((_, seen),) = poll.poll()
        can_write = Ready.W if seen & select.POLLOUT else Ready.NONE
        return Ready(can_write | Ready.R) if seen & ~select.POLLOUT else can_write
