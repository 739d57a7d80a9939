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
        self._idle: list[psycopg.Connection[Row]] = []
        self._places = threading.BoundedSemaphore(size)

    def row(self, statement: str, values: Mapping[str, Any]) -> Row | None:
        """Execute a statement that gives one row at most, and commit it.

        Raises:
            psycopg.Error: It failed. Where the connection broke it may be committed all the same.
        """
        if not self._places.acquire(timeout=PLACE_WAIT_S):
            raise psycopg.OperationalError("all connections are busy")
        try:
            connection = self._take()
            try:
                found = connection.execute(statement, values, prepare=True).fetchone()
            except psycopg.Error:
                if not connection.closed:
                    self._idle.append(connection)
                raise
            except BaseException:  # a greenlet that was killed: the answer is still to come
                connection.close()
                raise
            self._idle.append(connection)
            return found
        finally:
            self._places.release()

    def _take(self) -> psycopg.Connection[Row]:
        """The connection used last: its statements are prepared and its caches are warm."""
        while self._idle:
            connection = self._idle.pop()
            if not hung_up(connection):
                return connection
            connection.close()
        return _Connection.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_WAIT_S)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()


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
