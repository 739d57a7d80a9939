"""What robots there are and what they answer to, for whoever has to look at all of them.

Of two thousand robots most are alike. So whoever submits a job reads what kinds there are, and whoever asks
for one that stands still reads a few; where all are read, no objects are made of the rows, and what their
labels come to is remembered.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Select, Text, cast, select
from sqlalchemy.orm import Session

from github_app import claims
from github_app.columns import is_live
from github_app.models import Job, Runner

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

_ANSWERS = (_LABELS, Runner.robot["kind"].as_string(), Runner.robot["plant"].as_string())
_THERE = (Runner.revoked_at.is_(None), Runner.robot.is_not(None))
_KNOWN = select(
    Runner.id,
    Runner.name,
    *_ANSWERS,
    Runner.robot["healthy"].as_boolean(),
    Runner.drained_at.is_not(None),
    Runner.robot["message"].as_string(),
    Runner.seen_at,
    Runner.rules.is_not(None),
).where(*_THERE)


def entries(session: Session) -> Iterator[Entry]:
    """All runners that are not revoked and have told of their robots, by name."""
    return _entries(session, _KNOWN.order_by(Runner.name))


def _entries(session: Session, which: Select[Any]) -> Iterator[Entry]:
    rows = session.execute(which)
    for number, name, labels, kind, plant, healthy, drained, message, seen_at, ruled in rows:
        served = _served(name, labels, kind, plant)
        yield Entry(number, name, served, healthy, drained, message or "", seen_at, ruled)


def idle(session: Session, since: datetime, busy: Collection[int], most: int) -> Iterator[Entry]:
    """Some that stand still and are fit for a job: heard of since then, and not among the busy ones."""
    fit = _KNOWN.where(
        Runner.seen_at > since, Runner.drained_at.is_(None), Runner.robot["healthy"].as_boolean().is_(True)
    )
    return _entries(session, fit.where(Runner.id.not_in(busy)).limit(most))


def kinds(session: Session, named: Collection[str]) -> list[frozenset[str]]:
    """What robots answer to: once for all that differ by name only, and for each whose name is named."""
    nameless = select(*_ANSWERS).where(*_THERE, Runner.name.not_in(named)).distinct()
    by_name = select(Runner.name, *_ANSWERS).where(*_THERE, Runner.name.in_(named))
    return [
        *(_served("", labels, kind, plant) for labels, kind, plant in session.execute(nameless)),
        *(_served(name, labels, kind, plant) for name, labels, kind, plant in session.execute(by_name)),
    ]


def at_work(session: Session) -> list[tuple[str, float, frozenset[str]]]:
    """The robots that have jobs: name, the job's tag, and what the robot answers to."""
    rows = session.execute(
        select(Runner.name, Job.order_key, *_ANSWERS)
        .join(Runner, Job.runner_id == Runner.id)
        .where(is_live(Job.status), *_THERE)
    )
    return [(name, tag, _served(name, labels, kind, plant)) for name, tag, labels, kind, plant in rows]


@lru_cache(REMEMBERED)
def _served(name: str, labels: str, kind: str, plant: str) -> frozenset[str]:
    return claims.all_labels(name, json.loads(labels), kind, plant)
