"""That a runner is there, and what it says of its robot: noted as it begins to ask for a job.

Not at each look for one: while a runner waits, and when it is called, its row stays as it is. And not at each
poll: where nothing has changed since a moment ago, nothing is written. Where only time has passed, the first
look for a job notes it by the way (`ClaimRequest.arrives`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from github_app import passports
from github_app.callers import Caller
from github_app.claims import ClaimRequest, NoSuchRunnerError
from github_app.models import Runner

FRESH = timedelta(seconds=1)
"""What was noted so long ago is good enough: who asks again at once is not written at once again."""


def is_news(caller: Caller, request: ClaimRequest) -> bool:
    """Whether the runner says something else than its row, just read."""
    return _said(request) != {"software": caller.software, "robot": caller.robot}


def is_fresh(caller: Caller, now: datetime) -> bool:
    """Whether it was heard of a moment ago."""
    return caller.seen_at is not None and now - caller.seen_at < FRESH


def note(session: Session, caller: Caller, request: ClaimRequest, now: datetime) -> None:
    """The runner is there, and says this; another passport of its robot goes into the robot's history.

    Raises:
        NoSuchRunnerError: It was revoked meanwhile.
    """
    if passports.changed(caller.robot, request.robot):
        passports.note(session, caller.id, request.robot, now)
    here = update(Runner).where(Runner.id == caller.id, Runner.revoked_at.is_(None))
    found = session.execute(here.values(seen_at=now, **_said(request)).returning(Runner.id)).one_or_none()
    if found is None:
        raise NoSuchRunnerError(f"there is no runner {caller.id} any more; register it again")


def _said(request: ClaimRequest) -> dict[str, Any]:
    """What the runner says, as its row keeps it."""
    return {"software": request.software, "robot": request.robot.model_dump(mode="json")}
