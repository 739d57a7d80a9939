"""Rows that need work, taken by one process at a time: the one pattern behind every loop of the server.

A row is due when its time has come. Taking it counts a try and pushes its time ahead, which is the lease:
whoever dies in the middle is followed by somebody else once that time comes. Nothing is held meanwhile,
neither a transaction nor a connection. Work that takes longer than the lease may be done twice, so it must
bear that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import InstrumentedAttribute

from github_app.db import Database
from github_app.models import Delivery, Job, Turn
from github_app.moves import utc_now

Row = TypeVar("Row", Job, Delivery)


@dataclass(frozen=True)
class RowLease(Generic[Row]):
    """How the rows of one table are taken.

    Attributes:
        waiting: Which rows need work.
        due: When a row may be taken next.
        tries: How often it was taken; 1 is a first try.
        lasts: The lease: longer than the work takes.
        batch: Most rows taken at once.
    """

    table: type[Row]
    waiting: ColumnElement[bool]
    due: InstrumentedAttribute[datetime]
    tries: InstrumentedAttribute[int]
    lasts: timedelta
    batch: int

    def recover(self, db: Database) -> None:
        """End the leases of a process that died. Only where this one is the only one."""
        held = update(self.table).where(self.waiting, self.tries > 0)
        with db.write() as session:
            session.execute(held.values({self.due.key: utc_now()}))

    def take(self, db: Database) -> list[Row]:
        """Take what is due, those that wait longest first."""
        now = utc_now()
        due = select(self.table).where(self.waiting, self.due <= now)
        query = due.order_by(self.due, self.table.id).limit(self.batch)
        with db.write() as session:
            taken = list(session.scalars(db.skip_locked(query)).unique())
            for row in taken:
                setattr(row, self.tries.key, getattr(row, self.tries.key) + 1)
                setattr(row, self.due.key, now + self.lasts)
        return taken

    def renew(self, db: Database, row_id: int, lease: datetime) -> bool:
        """Begin the lease anew; False where somebody else has taken the row since."""
        renewed = (
            update(self.table)
            .where(self.table.id == row_id, self.due == lease)
            .values({self.due.key: utc_now() + self.lasts})
            .returning(self.table.id)
        )
        with db.write() as session:
            return session.scalar(renewed) is not None

    def put_off(self, db: Database, row_id: int, until: datetime, **values: Any) -> None:
        """Give a row back until then."""
        changed = update(self.table).where(self.table.id == row_id)
        with db.write() as session:
            session.execute(changed.values({self.due.key: until, **values}))


def pause(tries: int, most: timedelta) -> timedelta:
    """How long to wait after so many tries: twice as long each time, spread so that not all come at once."""
    longest = min(timedelta(seconds=2 ** min(tries, 20)), most)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load only


def turn(db: Database, name: str, every: timedelta) -> bool:
    """Whether this process does a periodic work now; if so nobody else does until `every` is over."""
    now = utc_now()
    due = update(Turn).where(Turn.name == name, Turn.next_at <= now).values(next_at=now + every)
    with db.write() as session:
        if session.scalar(due.returning(Turn.name)) is not None:
            return True
        first = Database.insert(session, Turn).values(name=name, next_at=now + every)
        first = first.on_conflict_do_nothing(index_elements=[Turn.name])
        return session.scalar(first.returning(Turn.name)) is not None
