"""The host's rules where they meet the database: which robots refuse a job, what an owner has left of a day.

A robot's rules about owners and private sources end up in the lane of a job: `!goose` in it means that goose
refuses it. So a claim stays one look at each lane. When rules or facts change, waiting jobs get new lanes
(`reconsider`). Hours are asked at the claim (`in_hours`). The robot-minutes of a day are counted nowhere:
they are what the jobs' own rows say, read under the owner's lock, so they hold for all processes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from github_app import claims, roster
from github_app.callers import Caller
from github_app.columns import is_live, is_queued
from github_app.config import Settings
from github_app.models import Fact, Job, Repository, Runner
from github_app.rules import RobotRules, RulesError, ServerRules
from github_app.usage import left_robot
from runner.protocol import RobotReport

FACT = "rules"
"""Where the server's rules are kept (`models.Fact`)."""
EXCLUDED_MAX = 120
"""Characters that the names of robots with rules may take in a lane."""
_LOCK = 0x5261615300
"""PostgreSQL's advisory lock: who writes a lane shares it, who changes what lanes depend on has it alone."""
SPENT_LOOKBACK = timedelta(days=2)
"""A job that began earlier than this before the day spends nothing of it."""


@dataclass(frozen=True)
class Limits:
    """The most a job may ask for: the settings, narrowed by the server's rules. Times in seconds."""

    timeout_max_s: float
    sessions_max: int


def server_rules(session: Session) -> ServerRules:
    """The server's rules; none where none were set."""
    fact = session.get(Fact, FACT)
    return ServerRules() if fact is None else ServerRules.model_validate_json(fact.value)


def set_server_rules(session: Session, rules: ServerRules) -> None:
    """Set the server's rules, for the jobs submitted from now on."""
    session.merge(Fact(name=FACT, value=rules.model_dump_json()))


def robot_rules(runner: Runner | Caller) -> RobotRules:
    """The rules of a robot's host; none where none were set."""
    return RobotRules() if runner.rules is None else RobotRules.model_validate(runner.rules)


def set_robot_rules(session: Session, runner: Runner, rules: RobotRules | None) -> None:
    """Set a robot's rules, for waiting jobs too.

    Raises:
        RulesError: More robots have rules than a lane can name.
    """
    runner.rules = None if rules is None else rules.model_dump(mode="json")
    session.flush()
    names = session.scalars(select(Runner.name).where(Runner.rules.is_not(None)))
    if sum(len(name) + 2 for name in names) > EXCLUDED_MAX:
        raise RulesError(
            f"the names of all robots with rules would be longer than {EXCLUDED_MAX} characters together;"
            " clear the rules of some, or give them shorter names"
        )
    reconsider(session)


def limits(session: Session, settings: Settings) -> Limits:
    """The most a job may ask for."""
    rules = server_rules(session)
    return Limits(
        timeout_max_s=min(settings.timeout_max_s, rules.timeout_max_s or settings.timeout_max_s),
        sessions_max=min(settings.sessions_max, rules.sessions_max or settings.sessions_max),
    )


def lets_in(session: Session, settings: Settings, owner: str) -> bool:
    """Whether repositories of this owner may use any robot."""
    return settings.owner_allowed(owner) and server_rules(session).lets_in(owner)


def exclusions(session: Session, repository: Repository) -> list[str]:
    """What a lane of the repository says of robots that refuse its jobs; it holds in this transaction."""
    hold_lanes(session)
    return _exclusions(session, repository)


def hold_lanes(session: Session) -> None:
    """Let nobody change what lanes depend on until this transaction ends. Comes before any owner's lock."""
    _lock(session, shared=True)


def _lock(session: Session, *, shared: bool) -> None:
    if session.get_bind().dialect.name == "postgresql":  # a writer of SQLite is alone
        take = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        session.execute(select(take(_LOCK)))


def _exclusions(session: Session, repository: Repository) -> list[str]:
    ruled = session.scalars(select(Runner).where(Runner.rules.is_not(None)).order_by(Runner.name))
    return [
        f"!{runner.name}"
        for runner in ruled
        if not robot_rules(runner).accepts(repository.owner, private=repository.private)
    ]


def refusal(
    session: Session,
    repository: Repository,
    *,
    owner: str,
    labels: Collection[str],
    robot_s: float,
    now: datetime,
) -> str | None:
    """Why a job is not to be queued, as sentences for people; None where nothing speaks against it.

    Args:
        session: A transaction that holds the owner's lock, where the answer has to last.
        repository: Whose source it is.
        owner: Whom the job counts for.
        labels: What a robot must have.
        robot_s: The longest time it may take on a robot, all sessions together [s].
        now: The time.
    """
    rules = server_rules(session)
    if not rules.lets_in(owner):
        return not_let_in(owner)
    return _no_robot_accepts(session, repository, labels) or _day_is_spent(
        session, rules, owner, robot_s, now
    )


def not_let_in(owner: str) -> str:
    """What somebody hears whose repositories may not use this host's robots."""
    return (
        f"Repositories of {owner} may not use the robots of this host. "
        "Ask the host to add the owner to its list."
    )


def _no_robot_accepts(session: Session, repository: Repository, labels: Collection[str]) -> str | None:
    """Where robots could serve the labels, but the rules of each refuse the job."""
    if session.scalar(select(Runner.id).where(Runner.rules.is_not(None)).limit(1)) is None:
        return None  # nearly always; and to look at two thousand robots takes its time
    wanted = ",".join(sorted(set(labels)))
    able = [robot for robot in roster.entries(session) if claims.serves(robot.labels, wanted)]
    if not all(robot.ruled for robot in able) or not able:
        return None
    ruled = session.scalars(select(Runner).where(Runner.id.in_([robot.id for robot in able])))
    rules = [robot_rules(runner) for runner in ruled]
    if any(each.accepts(repository.owner, private=repository.private) for each in rules):
        return None
    names = ", ".join(robot.name for robot in able[:5])
    if repository.private and any(each.accepts(repository.owner, private=False) for each in rules):
        return (
            f"This repository is private, and the robots with these labels ({names}) run public sources "
            "only. Ask their host, or choose another robot with `--robot`."
        )
    return (
        f"The robots with these labels ({names}) do not serve repositories of {repository.owner}. "
        "Ask their host, or choose another robot with `--robot`."
    )


def _day_is_spent(
    session: Session, rules: ServerRules, owner: str, robot_s: float, now: datetime
) -> str | None:
    if rules.minutes_a_day is None:
        return None
    spent_s, waiting_s = spent(session, rules, owner, now), reserved(session, owner)
    if spent_s + waiting_s + robot_s <= rules.minutes_a_day * 60:
        return None
    also = f" and {_minutes(waiting_s)} asked for by waiting and running jobs" if waiting_s else ""
    return (
        f"{owner} may use the robots {rules.minutes_a_day:g} min a day. Today {_minutes(spent_s)} were used"
        f"{also}, and this asks for {_minutes(robot_s)} more. Lower `timeout`, or run it again after "
        f"midnight ({rules.time_zone})."
    )


def spent(session: Session, rules: ServerRules, owner: str, now: datetime) -> float:
    """The time an owner's finished jobs took on robots today [s]."""
    begin, end = rules.day(now)
    # Not the whole results, which may be long: each submission asks this.
    told = (Job.results[name].as_string() for name in ("started_at", "ended_at"))
    rows = session.execute(
        select(Job.started_at, Job.completed_at, *told).where(
            Job.owner == owner,
            Job.started_at.is_not(None),
            Job.started_at >= begin - SPENT_LOOKBACK,
            Job.completed_at.is_not(None),
        )
    )
    return sum(
        _overlap_s(started, left_robot(started, completed, _time(began), _time(ended)), begin, end)
        for started, completed, began, ended in rows
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _overlap_s(started: datetime, completed: datetime, begin: datetime, end: datetime) -> float:
    return max(0.0, (min(completed, end) - max(started, begin)).total_seconds())


def reserved(session: Session, owner: str) -> float:
    """The longest time an owner's waiting and running jobs may take on robots [s]."""
    asked = func.coalesce(func.sum(Job.timeout_s * Job.sessions), 0.0)
    return sum(
        float(session.execute(select(asked).where(Job.owner == owner, which)).scalar_one())
        for which in (is_queued(Job.status), is_live(Job.status))
    )


def in_hours(rules: RobotRules, robot: RobotReport, now: datetime) -> RobotReport:
    """The robot's state with its host's hours: outside of them it must not be given a job, and says why."""
    closed = rules.closed(now)
    if closed is None or not robot.healthy:
        return robot
    return robot.model_copy(update={"healthy": False, "message": closed})


def reconsider(session: Session, repository: Repository | None = None) -> int:
    """Give waiting jobs (of one repository) the lanes that rules and facts ask for now.

    Returns:
        How many have changed.
    """
    _lock(session, shared=False)
    groups = select(Job.repository_id, Job.lane).where(is_queued(Job.status)).distinct()
    if repository is not None:
        groups = groups.where(Job.repository_id == repository.id)
    changed = 0
    for repository_id, lane in session.execute(groups).all():
        of = repository or session.get_one(Repository, repository_id)
        wanted = relaned(lane, _exclusions(session, of))
        if wanted != lane:
            here = (Job.repository_id == repository_id, Job.lane == lane, is_queued(Job.status))
            moved = session.execute(update(Job).where(*here).values(lane=wanted).returning(Job.id))
            changed += len(moved.all())
    return changed


def relaned(lane: str, excluded: Collection[str]) -> str:
    """A lane with other robots that refuse it."""
    labels = [part for part in lane.split(",") if part and not part.startswith("!")]
    return ",".join(sorted({*labels, *excluded}))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
