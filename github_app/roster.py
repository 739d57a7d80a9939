"""What robots there are and what they answer to, for whoever has to look at all of them.

Two thousand robots are looked at for each job that is submitted and for each check run that is published.
So only what is needed is read, no objects are made of the rows, and what their labels come to is remembered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from github_app import claims
from github_app.models import Runner

REMEMBERED = 10_000


class Entry(NamedTuple):
    """A runner that has told of its robot.

    Attributes:
        id: Its number.
        labels: All it answers to.
        ruled: Whether its host has set rules.
    """

    id: int
    name: str
    labels: frozenset[str]
    healthy: bool
    drained: bool
    message: str
    seen_at: datetime | None
    ruled: bool


_LABELS = cast(Runner.labels, Text)  # read once for all runners that have the same

_KNOWN = (
    select(
        Runner.id,
        Runner.name,
        _LABELS,
        Runner.robot["kind"].as_string(),
        Runner.robot["plant"].as_string(),
        Runner.robot["healthy"].as_boolean(),
        Runner.drained_at.is_not(None),
        Runner.robot["message"].as_string(),
        Runner.seen_at,
        Runner.rules.is_not(None),
    )
    .where(Runner.revoked_at.is_(None), Runner.robot.is_not(None))
    .order_by(Runner.name)
)


def entries(session: Session) -> Iterator[Entry]:
    """All runners that are not revoked and have told of their robots, by name."""
    for number, name, labels, kind, plant, healthy, drained, message, seen_at, ruled in session.execute(
        _KNOWN
    ):
        served = _served(name, labels, kind, plant)
        yield Entry(number, name, served, healthy, drained, message or "", seen_at, ruled)


_ANSWERING = select(
    Runner.id,
    Runner.name,
    _LABELS,
    Runner.robot["kind"].as_string(),
    Runner.robot["plant"].as_string(),
).where(Runner.revoked_at.is_(None), Runner.robot.is_not(None))


def answering(session: Session) -> dict[int, frozenset[str]]:
    """What each of them answers to, by its number."""
    return {
        number: _served(name, labels, kind, plant)
        for number, name, labels, kind, plant in session.execute(_ANSWERING)
    }


@lru_cache(REMEMBERED)
def _served(name: str, labels: str, kind: str, plant: str) -> frozenset[str]:
    return claims.all_labels(name, json.loads(labels), kind, plant)
