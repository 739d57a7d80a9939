"""How a run compares: with the base branch's latest runs on the same robot, and with simulation.

A pull request's base branch is the one it would change; any other run is compared with the default branch.

Only what was measured under the same conditions is set side by side: the same robot with the same passport,
in runs whose program ended by itself. A branch's runs differ by commit as well as by chance; their spread
says how much a single run means. Where nothing is comparable, nothing is shown.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from github_app.jobs import Status
from github_app.models import Job
from runner.protocol import Conclusion, SessionResult

RUNS_MAX = 5
"""Runs in a column: the latest ones, because a branch moves on."""
LOOKS_MAX = 50
"""Jobs looked through for them."""
SIMULATED = "simulated"
"""The passport of every simulated robot (`runner.protocol.RobotReport`)."""

_SESSIONS = TypeAdapter(list[SessionResult])
_MEASURED = (Conclusion.SUCCESS.value, Conclusion.FAILURE.value)


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of `count` values; no deviation of a single one."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Column:
    """Scores of `runs` runs, by name."""

    runs: int
    scores: Mapping[str, Spread]


@dataclass(frozen=True)
class Comparison:
    """What stands beside a run; a column is None where there is nothing comparable.

    Attributes:
        branch: The base branch.
        base: Its latest runs on the same robot with the same passport.
        simulation: Runs of the same commit on simulated robots.
    """

    branch: str
    base: Column | None = None
    simulation: Column | None = None


def spread(values: Sequence[float]) -> Spread:
    """Mean and deviation of at least one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def column(runs: Sequence[Mapping[str, float]]) -> Column | None:
    """The column of some runs' scores; None without runs."""
    if not runs:
        return None
    names = dict.fromkeys(name for scores in runs for name in scores)
    return Column(len(runs), {name: spread([run[name] for run in runs if name in run]) for name in names})


def means(sessions: Iterable[SessionResult]) -> dict[str, float]:
    """One run's scores: the mean over its sessions of each that all of them have."""
    every = [session.scores for session in sessions]
    names = every[0] if every else {}
    found = {name: [scores.get(name) for scores in every] for name in names}
    whole = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: statistics.fmean(values) for name, values in whole.items() if len(values) == len(every)}


def load(session: Session, job: Job) -> Comparison | None:
    """What to set beside a job's run; None where it recorded nothing.

    Of the branch only jobs that were made before it count, so that a check run says the same whenever it is
    published. A simulation of the same commit counts whenever it ends: see `beside`.
    """
    mine = _sessions(job.results)
    if not mine:
        return None
    first = mine[0]
    branch = job.base_branch or job.repository.default_branch
    base = (Job.ref == branch, Job.head_repository.is_(None), Job.id < job.id)
    runs = _runs(session, job, first.robot, first.passport, *base)
    simulated: list[dict[str, float]] = []
    if first.passport != SIMULATED:
        simulated = _runs(session, job, None, SIMULATED, Job.sha == job.sha)
    return Comparison(branch, column(runs), column(simulated))


def beside(session: Session, job: Job) -> list[int]:
    """The jobs whose check runs show this one's result: a simulation's, those of robots at the commit."""
    mine = _sessions(job.results)
    if not _over(job) or not mine or any(one.passport != SIMULATED for one in mine):
        return []
    same = (Job.repository_id == job.repository_id, Job.sha == job.sha, Job.id != job.id)
    query = select(Job).where(*same, Job.conclusion.in_(_MEASURED), Job.check_run_id.is_not(None))
    found = session.scalars(query.order_by(Job.id.desc()).limit(LOOKS_MAX)).unique()
    return [one.id for one in found if any(run.passport != SIMULATED for run in _sessions(one.results))]


def _over(job: Job) -> bool:
    return job.status == Status.COMPLETED.value and job.conclusion in _MEASURED


def _runs(
    session: Session, job: Job, robot: str | None, passport: str, *which: ColumnElement[bool]
) -> list[dict[str, float]]:
    query = (
        select(Job.results)
        .where(
            Job.repository_id == job.repository_id,
            Job.id != job.id,
            Job.status == Status.COMPLETED.value,
            Job.conclusion.in_(_MEASURED),
            Job.results.is_not(None),
            *which,
        )
        .order_by(Job.id.desc())
        .limit(LOOKS_MAX)
    )
    runs = []
    for results in session.scalars(query):
        found = _sessions(results)
        if found and all(_comparable(one, robot, passport) for one in found):
            runs.append(means(found))
    return runs[:RUNS_MAX]


def _comparable(one: SessionResult, robot: str | None, passport: str) -> bool:
    ended_by_itself = one.exit_code in (0, None)
    return ended_by_itself and bool(one.scores) and one.passport == passport and robot in (None, one.robot)


def _sessions(results: Mapping[str, Any] | None) -> list[SessionResult]:
    """A job's sessions, unless an older server stored them in another form."""
    try:
        return _SESSIONS.validate_python((results or {}).get("sessions", []))
    except ValidationError:
        return []
