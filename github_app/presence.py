"""That a runner is there, and what it says of its robot: noted as it begins to ask for a job.

Not at each look for one: while a runner waits, and when it is called, its row stays as it is. And not at each
poll: where nothing has changed since a moment ago, nothing is written.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from github_app import passports
from github_app.claims import ClaimRequest, NoSuchRunnerError
from github_app.models import Runner

FRESH = timedelta(seconds=1)
"""What was noted so long ago is good enough: who asks again at once is not written at once again."""


def is_known(runner: Runner, request: ClaimRequest, now: datetime) -> bool:
    """Whether its row, just read, says all this already."""
    return (
        runner.seen_at is not None
        and now - runner.seen_at < FRESH
        and runner.software == request.software
        and runner.robot == request.robot.model_dump(mode="json")
    )


def note(session: Session, runner: Runner, request: ClaimRequest, now: datetime) -> None:
    """The runner is there, and says this; another passport of its robot goes into the robot's history.

    Raises:
        NoSuchRunnerError: It was revoked meanwhile.
    """
    if passports.changed(runner, request.robot):
        passports.note(session, runner.id, request.robot, now)
    said = {"software": request.software, "robot": request.robot.model_dump(mode="json")}
    here = update(Runner).where(Runner.id == runner.id, Runner.revoked_at.is_(None))
    found = session.execute(here.values(seen_at=now, **said).returning(Runner.id)).one_or_none()
    if found is None:
        raise NoSuchRunnerError(f"there is no runner {runner.id} any more; register it again")
