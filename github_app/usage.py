"""How long jobs hold a robot: those that are over, and of what they ask for the others, by the last ones."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app.jobs import Status
from github_app.models import Job

HISTORY = 100
"""Jobs that the expectation is learnt from."""
HISTORY_MIN = 5

ASKED_S = Job.timeout_s * Job.sessions


@dataclass(frozen=True)
class Usage:
    """What jobs take of what they ask for.

    Attributes:
        shares: Of the time asked for, as the last jobs used them.
        prepare_s: From claim to start, on average [s].
    """

    shares: tuple[float, ...] = (1.0,)
    prepare_s: float = 15.0

    def draw_s(self, draw: random.Random, asked_s: float) -> float:
        """How long a job that asks for `asked_s` may hold a robot [s]."""
        return self.prepare_s + draw.choice(self.shares) * asked_s

    def draw_rest_s(
        self, draw: random.Random, asked_s: float, claimed_s: float, started_s: float | None
    ) -> float:
        """How much longer a job may go on that was claimed and started so long ago [s]."""
        if started_s is None:
            return max(0.0, self.draw_s(draw, asked_s) - min(claimed_s, self.prepare_s))
        longer = [share * asked_s - started_s for share in self.shares if share * asked_s > started_s]
        return draw.choice(longer) if longer else max(0.0, 0.1 * (asked_s - started_s))


@dataclass(frozen=True)
class Live:
    """A job that a robot has: its runner's number, its tag, and times for `Usage.draw_rest_s`."""

    runner: int
    tag: float
    asked_s: float
    claimed_s: float
    started_s: float | None


def left_robot(
    started: datetime, completed: datetime, began: datetime | None, ended: datetime | None
) -> datetime:
    """When the robot was free: after an outage of ours, results are delivered much later than that.

    Args:
        started: By the server's clock, as `completed`, when its results were there.
        completed: See above.
        began: By the runner's clock, as `ended` (`runner.protocol.Finish`), if it told.
        ended: See above.
    """
    if began is None or ended is None:
        return completed
    # The host's clock may be wrong: only how long it took counts.
    return min(completed, started + max(ended - began, timedelta(0)))


def learn(session: Session) -> Usage:
    """What the last jobs took."""
    ended = (
        select(ASKED_S, Job.claimed_at, Job.started_at, Job.completed_at)
        .where(Job.status == Status.COMPLETED.value, Job.files_removed_at.is_(None))
        .order_by(Job.completed_at.desc())
        .limit(HISTORY)
    )
    rows: list[Any] = [row for row in session.execute(ended) if row[1] is not None and row[2] is not None]
    if len(rows) < HISTORY_MIN:
        return Usage()
    shares = tuple(
        min(1.0, (completed - started).total_seconds() / asked) for asked, _, started, completed in rows
    )
    prepare_s = sum((started - claimed).total_seconds() for _, claimed, started, _ in rows) / len(rows)
    return Usage(shares, prepare_s)
