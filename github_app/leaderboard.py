"""`/leaderboard`: the best run of each repository at each task, on real robots and, apart, in simulation.

The bests are a table that the transaction of `finish` keeps up to date, so a page looks at as many rows as it
shows, however many jobs there were. What counts is said in `tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import policy, services, tasks
from github_app.comparison import SIMULATED
from github_app.db import Database
from github_app.models import Best, Job, Repository, Runner
from github_app.policy import Viewer
from github_app.tasks import Task
from runner.achievement import number
from runner.protocol import Conclusion, SessionResult

blueprint = Blueprint("leaderboard", __name__)

HARDWARE = "hardware"
PLANTS = {HARDWARE: "Real robots", SIMULATED: "Simulation"}
ROWS_MAX = 50
LOOKED_AT_MAX = 500
"""A repository has a best run on each robot; of all these only its first row is shown."""
NEVER_RANKED = frozenset({Conclusion.CANCELLED.value, Conclusion.NEUTRAL.value})


@dataclass(frozen=True)
class Row:
    """A line of the board; `moment` is where in the replay to begin [s]."""

    place: int
    repository: str
    robot: str
    score: str
    job_id: int
    sha: str
    at: datetime | None
    moment: float
    files_removed: bool


def note(session: Session, job: Job) -> None:
    """Put a job that has just finished on the boards where it is its repository's best on this robot."""
    first = _first_session(job)
    if first is None or job.runner is None or job.conclusion in NEVER_RANKED:
        return
    kind = (job.runner.robot or {}).get("kind")
    plant = SIMULATED if first.passport == SIMULATED else HARDWARE
    for task in tasks.TASKS:
        score = task.achieved(first.scores)
        if task.kind == kind and score is not None:
            _keep_better(session, task, plant, job, score)


def _first_session(job: Job) -> SessionResult | None:
    for result in (job.results or {}).get("sessions", [])[:1]:
        try:
            return SessionResult.model_validate(result)
        except ValidationError:  # an older server stored it in another form
            return None
    return None


def _keep_better(session: Session, task: Task, plant: str, job: Job, score: float) -> None:
    """One statement, so that two runs that end at once do not overtake each other."""
    values = {
        "task": task.name,
        "plant": plant,
        "runner_id": job.runner_id,
        "repository_id": job.repository_id,
        "score": score,
        "rank": task.rank(score),
        "job_id": job.id,
    }
    fresh = Database.insert(session, Best).values(values)
    better = {name: fresh.excluded[name] for name in ("score", "rank", "job_id")}
    session.execute(
        fresh.on_conflict_do_update(
            index_elements=["task", "plant", "runner_id", "repository_id"],
            set_=better,
            where=fresh.excluded.rank > Best.rank,
        )
    )


@blueprint.get("/leaderboard")
def page() -> ResponseReturnValue:
    """One task on one kind of plant, on all robots or one."""
    here, viewer = services.current(), policy.viewer()
    task = tasks.named(request.args.get("task", tasks.TASKS[0].name))
    plant = request.args.get("on", "")
    robot = request.args.get("robot", "")
    if task is None or plant not in {"", *PLANTS}:
        abort(404)
    with here.db.read() as session:
        if not plant:  # where no real robot has run anything yet, there is more to see in simulation
            plant = next((each for each in PLANTS if has_rows(session, task, each, viewer)), HARDWARE)
        robots = robots_of(session, task, plant, viewer)
        if robot and robot not in robots:
            abort(404)
        board = rows(session, task, plant, robot, viewer)
    return render_template(
        "leaderboard.html",
        tasks=tasks.TASKS,
        task=task,
        plants=PLANTS,
        plant=plant,
        robots=robots,
        robot=robot,
        rows=board,
    )


def rows(session: Session, task: Task, plant: str, robot: str, viewer: Viewer) -> list[Row]:
    """The board, best first; of equals who came first. One row for each repository that may be seen."""
    columns = Best.repository_id, Best.job_id, Best.score, Repository.owner, Repository.name, Runner.name
    query = _seen(select(*columns), task, plant, viewer)
    if robot:
        query = query.where(Runner.name == robot)
    firsts: dict[int, tuple[int, float, str, str]] = {}
    for repository_id, job, score, owner, name, by in session.execute(
        query.order_by(Best.rank.desc(), Best.job_id).limit(LOOKED_AT_MAX)
    ):
        if len(firsts) < ROWS_MAX:
            firsts.setdefault(repository_id, (job, score, f"{owner}/{name}", by))
    facts = Job.id, Job.sha, Job.completed_at, Job.files_removed_at, Job.results
    wanted = [job for job, *_ in firsts.values()]
    jobs = {row.id: row for row in session.execute(select(*facts).where(Job.id.in_(wanted)))}
    return [
        Row(
            place=place,
            repository=repository,
            robot=by,
            score=f"{number(score)}{' ' + task.unit if task.unit else ''}",
            job_id=job,
            sha=jobs[job].sha,
            at=jobs[job].completed_at,
            moment=_moment(jobs[job].results),
            files_removed=jobs[job].files_removed_at is not None,
        )
        for place, (job, score, repository, by) in enumerate(firsts.values(), 1)
    ]


def has_rows(session: Session, task: Task, plant: str, viewer: Viewer) -> bool:
    """Whether there is anything on the board."""
    return session.execute(_seen(select(Best.job_id), task, plant, viewer).limit(1)).first() is not None


def robots_of(session: Session, task: Task, plant: str, viewer: Viewer) -> list[str]:
    """The robots that have a board of their own."""
    query = _seen(select(Runner.name), task, plant, viewer)
    return list(session.scalars(query.distinct().order_by(Runner.name)))


def _seen(query: Any, task: Task, plant: str, viewer: Viewer) -> Any:
    return (
        query.select_from(Best)
        .join(Repository, Repository.id == Best.repository_id)
        .join(Runner, Runner.id == Best.runner_id)
        .where(Best.task == task.name, Best.plant == plant, policy.visible_rows(viewer))
    )


def _moment(results: Mapping[str, Any] | None) -> float:
    """The first moment upright; the beginning where there was none."""
    scores = (results or {}).get("sessions", [{}])[0].get("scores", {})
    return float(scores.get("swing_up_time") or 0.0) if scores.get("composite") else 0.0
