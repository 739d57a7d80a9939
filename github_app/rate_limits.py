"""GitHub's limits, kept by all server processes together.

GitHub bans clients that go on after they were told to wait, and counts what creates content apart from the
rest: about 80 such requests a minute and 500 an hour for an installation. Both are remembered in the
database, one row an installation. Progress may use three quarters of the budget; the rest is left for what
people wait for: new check runs and final ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from github_app.db import Database
from github_app.models import RateLimit
from github_app.moves import utc_now

PROGRESS_SHARE = 0.75
"""Part of a budget that progress may use."""
LOOK_AGAIN = timedelta(seconds=20)
"""Longest wait for a budget: it may be free sooner than its window ends, for what is more urgent by then."""
_MINUTE_S, _HOUR_S = 60, 3600


class RateLimits:
    """The limits of all installations.

    Args:
        db: Shared by the processes.
        per_minute, per_hour: Most requests that create or change content, for an installation; 0: no limit.
    """

    def __init__(self, db: Database, per_minute: int, per_hour: int) -> None:
        self._db = db
        self._per_minute = per_minute
        self._per_hour = per_hour

    def blocked_until(self, installation: int) -> datetime | None:
        """Until when GitHub is not to be asked for an installation; None: it may be."""
        with self._db.read() as session:
            row = session.get(RateLimit, installation)
        if row is None or row.blocked_until is None or row.blocked_until <= utc_now():
            return None
        return row.blocked_until

    def block(self, installation: int, until: datetime) -> None:
        """GitHub said to wait. A longer wait that somebody else was told stays."""
        with self._db.write() as session:
            row = self._locked(session, installation)
            row.blocked_until = max(until, row.blocked_until or until)

    def spend(self, installation: int, *, urgent: bool) -> datetime | None:
        """Count one request that creates or changes content.

        Returns:
            None where it may be sent; else when to look again, and nothing was counted.
        """
        if not self._per_minute and not self._per_hour:
            return None
        now = utc_now()
        with self._db.write() as session:
            row = self._locked(session, installation)
            _turn_over(row, now)
            share = 1.0 if urgent else PROGRESS_SHARE
            ends = []
            if self._per_minute and row.minute_writes >= max(1, self._per_minute * share):
                ends.append((row.minute + 1) * _MINUTE_S)
            if self._per_hour and row.hour_writes >= max(1, self._per_hour * share):
                ends.append((row.hour + 1) * _HOUR_S)
            if ends:
                return min(datetime.fromtimestamp(max(ends), UTC), now + LOOK_AGAIN)
            row.minute_writes += 1
            row.hour_writes += 1
        return None

    def _locked(self, session: Session, installation: int) -> RateLimit:
        new = Database.insert(session, RateLimit).values(
            installation_id=installation, minute=0, minute_writes=0, hour=0, hour_writes=0
        )
        session.execute(new.on_conflict_do_nothing(index_elements=[RateLimit.installation_id]))
        return session.get_one(RateLimit, installation, with_for_update=True)


def _turn_over(row: RateLimit, now: datetime) -> None:
    """Begin a new window where the time of the old one is over."""
    minute, hour = int(now.timestamp()) // _MINUTE_S, int(now.timestamp()) // _HOUR_S
    if row.minute != minute:
        row.minute, row.minute_writes = minute, 0
    if row.hour != hour:
        row.hour, row.hour_writes = hour, 0
