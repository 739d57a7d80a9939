"""Deliveries are stored in groups: those that arrive within a moment share one commit.

A durable commit takes milliseconds whatever is in it, so one commit a delivery would bound the server to a
few hundred a second. The first comer waits while others join; they wait for its commit. Whoever comes during
a commit joins the next one, which the first of them makes: nobody queues for a lock that is of no more use.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Table

from github_app.db import Database, DatabaseError
from github_app.models import Delivery

_TABLE = cast("Table", Delivery.__table__)

GROUP_MAX = 200
GROUP_BYTES = 32 * 1024 * 1024
"""A group ends with the delivery that exceeds this."""
PAUSE_S = 0.002
"""A group closes when nobody has joined it for so long [s]. It must be a real pause: a commit to SQLite stops
every greenlet of the process, so nobody could join while the commit before is on its way to the disk."""
GATHER_MAX_S = 0.02
"""A group closes after so long at the latest [s]."""


@dataclass(frozen=True)
class Arrival:
    """A delivery as it came; `outcome` is set where nothing is to be done about it."""

    guid: str
    event: str
    payload: bytes
    outcome: str | None


@dataclass
class _Ticket:
    arrival: Arrival
    stored: bool | None = None
    error: Exception | None = None
    turn: threading.Event = field(default_factory=threading.Event)
    """Set once it is settled, or once it is this one's turn to commit."""

    @property
    def settled(self) -> bool:
        return self.stored is not None or self.error is not None


class Intake:
    """Where deliveries of one process enter the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entering = threading.Lock()
        self._led = False
        self._waiting: list[_Ticket] = []

    def store(self, arrival: Arrival) -> bool:
        """Store it durably.

        Returns:
            False where a delivery of this GUID was there already; nothing has changed then.

        Raises:
            DatabaseError, sqlalchemy.exc.SQLAlchemyError: It is not stored.
        """
        ticket = _Ticket(arrival)
        with self._entering:
            self._waiting.append(ticket)
            leads, self._led = not self._led, True
        if not leads:
            ticket.turn.wait()
        if not ticket.settled:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return bool(ticket.stored)

    def _lead(self) -> None:
        """Commit the group that begins with one's own ticket, and name the next who does."""
        group: list[_Ticket] = []
        try:
            self._gather()
            group = self._group()
            self._commit(group)
        except BaseException:  # this greenlet is being ended: those who wait for it must hear of it
            group = group or self._group()
            for ticket in group:
                ticket.error = ticket.error or DatabaseError("the server is stopping; send it again")
            raise
        finally:
            with self._entering:
                following = self._waiting[0] if self._waiting else None
                self._led = following is not None
            for ticket in group:
                ticket.turn.set()
            if following is not None:
                following.turn.set()

    def _gather(self) -> None:
        latest, before = time.monotonic() + GATHER_MAX_S, 0
        while before < len(self._waiting) < GROUP_MAX and time.monotonic() < latest:
            before = len(self._waiting)
            time.sleep(PAUSE_S)

    def _group(self) -> list[_Ticket]:
        """Take the next group out of those that wait, in the order they came."""
        with self._entering:
            size = count = 0
            while count < min(len(self._waiting), GROUP_MAX) and size < GROUP_BYTES:
                size += len(self._waiting[count].arrival.payload)
                count += 1
            group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    def _commit(self, group: list[_Ticket]) -> None:
        now = datetime.now(UTC)
        rows = [_row(ticket.arrival, now) for ticket in group]
        try:
            with self._database.write() as session:
                # The table, not the class: the ORM would look at every row, which costs as much as storing.
                new = Database.insert(session, _TABLE)
                new = new.on_conflict_do_nothing(index_elements=[_TABLE.c.guid])
                fresh = set(session.connection().scalars(new.returning(_TABLE.c.guid), rows))
                if any(ticket.arrival.outcome is None for ticket in group):
                    self._database.wake(session, "deliveries")
        except Exception as error:  # whatever it is, everybody who waits has to hear of it
            for ticket in group:
                ticket.error = error
            return
        for ticket in group:
            ticket.stored = ticket.arrival.guid in fresh
            fresh.discard(ticket.arrival.guid)


def _row(arrival: Arrival, now: datetime) -> dict[str, object]:
    return {
        "guid": arrival.guid,
        "event": arrival.event,
        "payload": arrival.payload,
        "received_at": now,
        "next_try_at": now,
        "tries": 0,
        "processed_at": None if arrival.outcome is None else now,
        "outcome": arrival.outcome,
    }
