"""What a robot's passports say, for its page: read from the recordings made under them.

A claim tells a passport's version only. What it says stands in the header of every recording made under it; a
periodic work of the server reads it there, once, when the first job under it has ended.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import artifacts, recordings, row_lease
from github_app.logs import about
from github_app.models import Artifact, Job, Passport
from github_app.recordings import NoRecordingError, Recordings
from github_app.services import Services
from raas_gym.trajectory import Trajectory

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=20)
LEARNT_MAX = 10
"""Passports read in one pass; the latest first."""
JOBS_TRIED = 5
"""Jobs of a passport whose recording is looked for."""
CONTENT_MAX = 16 * 1024
"""Longest passport that is kept, bytes of JSON."""


def learn(here: Services) -> int:
    """Read what passports say that are only known by name, if it is this process's turn.

    Returns:
        How many were read; there may be more to read unless it is 0.
    """
    if not row_lease.turn(here.db, "passports", EVERY):
        return 0
    with here.db.read() as session:
        unread = session.scalars(
            select(Passport)
            .where(Passport.content.is_(None))
            .order_by(Passport.since.desc())
            .limit(LEARNT_MAX)
        ).all()
        found = {passport.id: _recording_under(session, passport) for passport in unread}
    read = {
        number: content
        for number, row in found.items()
        if row is not None and (content := _content(here, row)) is not None
    }
    with here.db.write() as session:
        for number, content in read.items():
            session.get_one(Passport, number).content = content
    return len(read)


def _recording_under(session: Session, passport: Passport) -> Artifact | None:
    """A recording made under it that is still kept: of the first jobs after it came into force."""
    jobs = (
        select(Job)
        .where(Job.runner_id == passport.runner_id, Job.started_at >= passport.since)
        .where(Job.completed_at.is_not(None), Job.files_removed_at.is_(None))
        .order_by(Job.started_at)
        .limit(JOBS_TRIED)
    )
    for job in session.scalars(jobs).unique():
        sessions: list[dict[str, Any]] = (job.results or {}).get("sessions", [])
        if sessions and sessions[0].get("passport") == passport.version:
            row = recordings.of_session(artifacts.listing(session, job), 0)
            if row is not None:
                return row
    return None


def _content(here: Services, row: Artifact) -> dict[str, Any] | None:
    """The passport in a recording's header; None where it cannot be had now."""
    try:
        text = Recordings(here.store).made(row, "passport", _packed)
    except NoRecordingError as error:
        log.warning("no passport can be read from a recording: %s", error, extra=about(row.job_id))
        return None
    found: dict[str, Any] = json.loads(text) if len(text) <= CONTENT_MAX else {}
    return found


def _packed(trajectory: Trajectory) -> bytes:
    return json.dumps(dict(trajectory.header.passport)).encode()
