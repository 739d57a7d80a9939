"""Who is signed in: rows of the database, so that every server process knows them.

A browser holds a random token, the row its digest. GitHub's own token of the person is not kept: it is used
at sign-in, in memory, then revoked.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from github_app.models import WebSession
from github_app.tokens import digest

VALID = timedelta(days=7)
"""After so long one signs in again, however busy one was."""


def begin(
    session: Session, *, login: str, person_id: int, private_repositories: list[int], now: datetime
) -> str:
    """Sign a person in; returns the browser's token. Sessions that have run out are swept on the way.

    Args:
        session: A writing transaction.
        login: At GitHub.
        person_id: Likewise; it stays when the login changes.
        private_repositories: Ids of those they could read at this moment, to look at first.
        now: The time.
    """
    session.execute(delete(WebSession).where(WebSession.expires_at <= now))
    token = secrets.token_urlsafe(32)
    session.add(
        WebSession(
            token_hash=digest(token),
            login=login,
            person_id=person_id,
            private_repositories=private_repositories,
            created_at=now,
            expires_at=now + VALID,
        )
    )
    return token


def find(session: Session, token: str, now: datetime) -> WebSession | None:
    """Whose session this is."""
    found = session.get(WebSession, digest(token))
    return found if found is not None and now < found.expires_at else None


def end(session: Session, token: str) -> None:
    """Sign out. Repeating it changes nothing."""
    session.execute(delete(WebSession).where(WebSession.token_hash == digest(token)))
