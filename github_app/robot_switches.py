"""What the host of a robot switches: whether it takes jobs, and the address of its camera (decision 13)."""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app.db import Database
from github_app.models import Runner
from github_app.tokens import RunnerError

CAMERA_MAX = 500
# Its origin goes into a header (the content security policy), so nothing that could end a directive there.
_CAMERA = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[^\s\"';,]*)?")


def set_drained(session: Session, name: str, by: str | None, now: datetime) -> None:
    """Let the robot take no more jobs, because `by` wants so; or jobs again, without.

    Raises:
        RunnerError: There is no such robot.
    """
    runner = _locked(session, name)
    runner.drained_at, runner.drained_by = (None, None) if by is None else (now, by)
    session.flush()
    Database.wake(session, "queue")


def set_camera(session: Session, name: str, url: str | None) -> None:
    """Show the pictures of this address on the robot's page; none without.

    Raises:
        RunnerError: There is no such robot, or the address is none for a camera.
    """
    if url is not None and (len(url) > CAMERA_MAX or not _CAMERA.fullmatch(url)):
        raise RunnerError(
            f"{url[:80]!r} is no address of a camera; give one like https://lab.example/goose.mjpg,"
            " without user name, password, quotes, commas or semicolons"
        )
    _locked(session, name).camera_url = url
    session.flush()


def _locked(session: Session, name: str) -> Runner:
    found = session.scalar(select(Runner).where(Runner.name == name).with_for_update())
    if found is None:
        raise RunnerError(f"there is no runner {name}; `raas-server runner list` shows them")
    return found
