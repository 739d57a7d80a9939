"""Job numbers after a restore: none that was given after the backup was made is given again.

Robots keep a ledger of the jobs they ran, check runs at GitHub and people's links name jobs by number, and a
backup knows nothing of those that came after it. So a restored database leaves a gap and goes on behind it.
"""

from __future__ import annotations

from sqlalchemy import func, inspect, select, text
from sqlalchemy.orm import Session

from github_app.models import Fact, Job

FACT = "first_job"
"""Where SQLite keeps the number to go on with (`models.Fact`): it has no sequence that could be set."""
GAP_MIN = 1000


def leave_gap(session: Session, first_job: int | None) -> int:
    """Have the next job numbered behind a gap. The tables may be of an older form.

    Args:
        session: A writing transaction.
        first_job: The least number to go on with; otherwise the gap is as wide as all that was there, and
            `GAP_MIN` more.

    Returns:
        The next job's number.
    """
    latest: int = session.execute(text("SELECT coalesce(max(id), 0) FROM jobs")).scalar_one()
    first = max(2 * latest + GAP_MIN, first_job or 0)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT setval('jobs_id_seq', :last)"), {"last": first - 1})
    elif inspect(session.connection()).has_table(Fact.__tablename__):
        values = {"name": FACT, "value": str(first)}
        session.execute(text("REPLACE INTO facts (name, value) VALUES (:name, :value)"), values)
    return first


def given(session: Session) -> dict[str, int]:
    """The number of the next job as values for it; none where the database counts on by itself."""
    if session.get_bind().dialect.name == "postgresql" or (fact := session.get(Fact, FACT)) is None:
        return {}
    first, latest = int(fact.value), session.scalar(select(func.max(Job.id))) or 0
    return {"id": first} if latest < first else {}
