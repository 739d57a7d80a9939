"""The bests of jobs from before there was a table of them: filled in once, a few at a time, beside the rest.

`leaderboard.note` keeps the table as jobs finish. An installation that is older than the table has jobs that
were never noted; after its upgrade they are gone through in the order of their numbers. How far that has come
is a `Fact`, so that it goes on after a restart, at any server process. Noting a job twice changes nothing.
"""

from __future__ import annotations

import json

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from github_app import leaderboard
from github_app.db import Database
from github_app.jobs import Status
from github_app.models import Fact, Job

FACT = "bests_before"
PAUSE_S = 1.0
"""Between two steps [s]."""
STEP = 200
"""Jobs looked at in a step: some ten milliseconds."""


class BestsBefore:
    """Fills the table until it is full.

    Args:
        db: The database.
        step: Jobs looked at in a transaction.
    """

    def __init__(self, db: Database, step: int = STEP) -> None:
        self._db = db
        self._step = step
        self.done = False

    def work(self) -> int:
        """One step, if there is one left; always 0, so that the loop pauses before the next."""
        if not self.done:
            with self._db.write() as session:
                self.done = self._fill(session)
        return 0

    def _fill(self, session: Session) -> bool:
        """Go on where it stopped; whether that was the last step."""
        begun = session.get(Fact, FACT, with_for_update=True)
        if begun is None:
            self._begin(session)
            begun = session.get_one(Fact, FACT, with_for_update=True)
        at: dict[str, int] = json.loads(begun.value)
        until = min(at["done"] + self._step, at["last"])
        jobs = (
            select(Job)
            .where(Job.id > at["done"], Job.id <= until)
            .where(Job.status == Status.COMPLETED.value, Job.results.is_not(None))
            .order_by(Job.id)
        )
        for job in session.scalars(jobs).unique():
            leaderboard.note(session, job)
        begun.value = json.dumps({**at, "done": until})
        return until == at["last"]

    def _begin(self, session: Session) -> None:
        """Several processes start at once: the first one's word holds."""
        last = session.scalar(select(func.max(Job.id))) or 0
        fact = {"name": FACT, "value": json.dumps({"done": 0, "last": last})}
        new = Database.insert(session, Fact).values(fact)
        session.execute(new.on_conflict_do_nothing(index_elements=[Fact.name]))
