"""A robot as people see it: its state in words, what it does now, how much of the time it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, case, extract, func, literal, select
from sqlalchemy.orm import Session

from github_app import outlook
from github_app.columns import UtcDateTime, is_live
from github_app.models import Job, Runner
from github_app.rules import OUTSIDE_HOURS
from github_app.user_text import one_line
from github_app.wording import ago, moment
from runner.protocol import RobotReport

DAY, WEEK = timedelta(days=1), timedelta(days=7)
LONGEST_JOB = timedelta(days=1)
"""A job that began earlier than this before a window is over when the window begins."""


@dataclass(frozen=True)
class RobotView:
    """What every page says of a robot.

    Attributes:
        state: `online`, `offline`, `unfit` or `drained`.
        words: The state for people.
        heard: When it was last heard of, in words.
        report: What its runner last said, or None.
        of_day, of_week: Its share of the last 24 hours and 7 days in sessions, 0..1.
    """

    name: str
    state: str
    words: str
    heard: str
    labels: list[str]
    report: RobotReport | None
    of_day: float
    of_week: float

    @property
    def is_simulated(self) -> bool:
        """Whether its plant is a simulation; so is one of which nothing is known."""
        return self.report is None or self.report.plant == "simulated"


def views(session: Session, runners: list[Runner], now: datetime | None = None) -> list[RobotView]:
    """The robots that have joined, as they are in this transaction."""
    now = now or datetime.now(UTC)
    busy = running_robots(session)
    numbers = [runner.id for runner in runners]
    day, week = (used(session, numbers, now, window) for window in (DAY, WEEK))
    return [
        RobotView(
            runner.name,
            *state(runner, runner.id in busy, now),
            heard=ago(runner.seen_at, now) if runner.seen_at else "never",
            labels=runner.labels,
            report=None if runner.robot is None else RobotReport.model_validate(runner.robot),
            of_day=day.get(runner.id, 0.0),
            of_week=week.get(runner.id, 0.0),
        )
        for runner in runners
    ]


def joined(session: Session) -> list[Runner]:
    """The robots whose runner has registered and was not revoked, by name."""
    which = Runner.revoked_at.is_(None), Runner.token_hash.is_not(None)
    return list(session.scalars(select(Runner).where(*which).order_by(Runner.name)))


def running_robots(session: Session) -> set[int]:
    """The numbers of the robots that are in a session."""
    rows = session.scalars(select(Job.runner_id).where(is_live(Job.status), Job.status == "running"))
    return {number for number in rows if number is not None}


def state(runner: Runner, busy: bool, now: datetime | None = None) -> tuple[str, str]:
    """The robot's state, and the same for people. Whose code drives it is not said: it may be private."""
    if runner.seen_at is None or runner.robot is None:
        return "offline", "never heard of"
    if (now or datetime.now(UTC)) - runner.seen_at >= outlook.ONLINE:
        return "offline", f"offline since {moment(runner.seen_at)}"
    if runner.drained_at is not None:
        return "drained", "drained: ends this job, takes no more" if busy else "drained: takes no jobs"
    report = RobotReport.model_validate(runner.robot)
    if report.healthy:
        return "online", "running a job" if busy else "ready"
    if report.message.startswith(OUTSIDE_HOURS):
        return "unfit", one_line(report.message, 200)
    return "unfit", one_line(f"not fit to run: {report.message}".removesuffix(": "), 200)


def used(session: Session, robots: list[int], now: datetime, window: timedelta) -> Mapping[int, float]:
    """The share of the time until `now` that each robot spent in sessions, 0..1.

    A session counts from `running` to `finish`, so with the delivery of its results; where the next session
    began meanwhile, the two overlap and the share is held at 1.
    """
    since = now - window
    begin = _later(Job.started_at, since)
    end = func.coalesce(Job.completed_at, literal(now, UtcDateTime()))
    length = _seconds(session, end) - _seconds(session, begin)
    rows = session.execute(
        select(Job.runner_id, func.sum(case((end > begin, length), else_=0.0)))
        .where(Job.runner_id.in_(robots), Job.started_at.is_not(None), Job.started_at >= since - LONGEST_JOB)
        .group_by(Job.runner_id)
    )
    whole_s = window.total_seconds()
    return {number: min(1.0, float(total) / whole_s) for number, total in rows if number is not None}


def _later(column: Any, at: datetime) -> ColumnElement[Any]:
    moment_ = literal(at, UtcDateTime())
    return case((column < moment_, moment_), else_=column)


def _seconds(session: Session, time: ColumnElement[Any]) -> ColumnElement[Any]:
    """Seconds since some beginning; SQLite keeps times as text."""
    if session.get_bind().dialect.name == "sqlite":
        return func.julianday(time, type_=Float) * 86_400.0
    return extract("epoch", time)
