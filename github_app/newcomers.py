"""Who else will come: jobs that may be submitted while one waits, guessed from those of the last hour."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from github_app.columns import is_queued
from github_app.fairness import claimed_once
from github_app.forward import Newcomer
from github_app.models import Job

WINDOW = timedelta(hours=1)
"""Submissions of this time tell what comes: an hour ago it may have been night."""
SAMPLE = 200
"""The most of them that are looked at."""
WINDOW_MIN_S = 300.0
"""A laboratory that has just been opened: its first minutes tell little [s]."""


@dataclass(frozen=True)
class Wish:
    """What somebody asked for: whose, in which lane, time on a robot [s]."""

    owner: str
    lane: str
    asked_s: float


@dataclass(frozen=True)
class Expected:
    """What is expected to come.

    Attributes:
        per_s: Submissions in a second.
        wishes: What they may be, each as likely as the others.
    """

    per_s: float = 0.0
    wishes: tuple[Wish, ...] = ()

    def come(self, draw: random.Random, takes_s: Callable[[float], float], most: int) -> Iterator[Newcomer]:
        """The next `most` of them, at random times; `takes_s` tells how long one holds a robot."""
        now = 0.0
        for _ in range(most if self.wishes else 0):
            now += draw.expovariate(self.per_s)
            wish = draw.choice(self.wishes)
            yield Newcomer(now, wish.owner, wish.lane, takes_s(wish.asked_s), wish.asked_s)


def expect(session: Session, now: datetime) -> Expected:
    """What the last hour makes expect. Jobs that never waited do not count."""
    last = (
        select(Job.created_at, Job.owner, Job.lane, Job.timeout_s * Job.sessions)
        .where(or_(is_queued(Job.status), claimed_once(Job.attempt)))
        .order_by(Job.id.desc())
        .limit(SAMPLE)
    )
    rows: list[Any] = list(session.execute(last))
    recent = [row for row in rows if now - row[0] <= WINDOW]
    if not recent:
        return Expected()
    known = WINDOW if len(recent) < len(rows) else now - recent[-1][0]
    span_s = max(known.total_seconds(), WINDOW_MIN_S)
    return Expected(len(recent) / span_s, tuple(Wish(*row[1:]) for row in recent))
