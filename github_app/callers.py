"""Who calls: the runner that a bearer token belongs to, as its row is at this moment.

Every call of every runner begins with this, so it is one statement, and no object of SQLAlchemy's is made.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast

import psycopg
from sqlalchemy import Table, select

from github_app import tokens
from github_app.db import Database
from github_app.models import Runner


@dataclass(frozen=True)
class Caller:
    """What a call needs to know of its runner; the fields are those of `models.Runner`."""

    id: int
    name: str
    labels: list[str]
    rules: dict[str, Any] | None
    drained_at: datetime | None
    seen_at: datetime | None
    software: str | None
    robot: dict[str, Any] | None


_FIELDS = [field.name for field in fields(Caller)]
_runners = cast("Table", Runner.__table__)
_ROW = select(*(_runners.c[name] for name in _FIELDS))
_SWIFT = f"SELECT {', '.join(_FIELDS)} FROM runners WHERE token_hash = %(digest)s"  # noqa: S608 - names of ours


def find(database: Database, token: str) -> Caller | None:
    """The runner that holds this token, or held it until it was rotated a moment ago."""
    if database.statements is not None:
        try:
            row = database.statements.row(_SWIFT, {"digest": tokens.digest(token)})
        except psycopg.OperationalError:
            row = None  # SQLAlchemy's way tries it anew, and its errors are known
        if row is not None:
            return Caller(*row)
    with database.read() as session:
        number = tokens.bearer(session, token)
        found = None if number is None else session.execute(_ROW.where(_runners.c.id == number)).one_or_none()
    return None if found is None else Caller(*found)
