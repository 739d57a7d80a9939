"""Wake-ups between server processes: PostgreSQL's LISTEN and NOTIFY.

Notices are sent after the commit, on a connection of their own: sent inside a transaction they would make
all commits of the database follow one another. A lost notice costs a second at most, since everybody also
looks by themselves. Payloads are `process:topic`; on further channels (`subscribe`) `process:word`.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
from collections.abc import Callable

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import make_url

from github_app.wakeups import Wakeups

log = logging.getLogger(__name__)

CHANNEL = "raas"
RETRY_S = 1.0
WORDS_MAX = 1000
"""Notices that may wait to be sent; beyond that words of further channels are dropped."""

Connection = psycopg.Connection[tuple[object, ...]]


class Notices:
    """Relays this process's wake-ups to the others and theirs to this one.

    Args:
        url: The database, as SQLAlchemy writes it.
        wakeups: Whom to wake, and whose wake-ups to send.
    """

    def __init__(self, url: str, wakeups: Wakeups) -> None:
        parsed = make_url(url).set(drivername="postgresql")
        self._dsn = parsed.render_as_string(hide_password=False)
        self._wakeups = wakeups
        self._me = secrets.token_hex(4)
        self._outbox: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._hearers: dict[str, Callable[[str], None]] = {}
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(work,), name=f"notices-{work.__name__}", daemon=True)
            for work in (self._listen, self._send)
        ]

    def subscribe(self, channel: str, hear: Callable[[str], None]) -> Callable[[str], None]:
        """Open a further channel, before `start`, for what may get lost.

        Args:
            channel: Its name.
            hear: Called with each word that another process sends there.

        Returns:
            What sends a word, less than 8,000 bytes, to the others; it neither blocks nor raises.
        """
        self._hearers[channel] = hear

        def send(word: str) -> None:
            if self._outbox.qsize() < WORDS_MAX:
                self._outbox.put((channel, word))

        return send

    def start(self) -> None:
        """Begin to relay."""
        self._wakeups.relay(self._post)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop relaying."""
        self._wakeups.relay(None)
        self._stopping.set()
        self._outbox.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def _post(self, topic: str) -> None:
        # Who made a delivery or an event works on it himself; only waiting runners and pages are elsewhere.
        if topic == "queue" or topic.startswith("job:"):
            self._outbox.put((CHANNEL, topic))

    def _listen(self, connection: Connection) -> None:
        for channel in (CHANNEL, *self._hearers):
            connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
        self._wakeups.notify_here("queue")  # something may have been missed
        while not self._stopping.is_set():
            for notice in connection.notifies(timeout=0.5):
                sender, _, word = notice.payload.partition(":")
                if sender != self._me:
                    self._hearers.get(notice.channel, self._wakeups.notify_here)(word)

    def _send(self, connection: Connection) -> None:
        while (first := self._outbox.get()) is not None:
            notices = {first: None}  # each once, in the order they came
            while not self._outbox.empty() and (more := self._outbox.get()) is not None:
                notices[more] = None
            for channel, word in notices:
                connection.execute("SELECT pg_notify(%s, %s)", (channel, f"{self._me}:{word}"))

    def _keep(self, work: Callable[[Connection], None]) -> None:
        """Do the work on a connection, and on a new one whenever it breaks, until the end."""
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=10) as connection:
                    work(connection)
            except psycopg.Error as error:
                log.warning("no notices between servers: %s", error)
                self._stopping.wait(RETRY_S)
