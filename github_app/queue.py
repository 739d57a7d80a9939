"""The queue: jobs enter, wait in order and may be cancelled.

Who gets them is in `claims`, what follows in `leases`. Every function of the three works in the caller's
transaction (`Database.write()`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import allowance, fairness, numbering
from github_app.db import Database
from github_app.jobs import EventKind, Status
from github_app.models import Job, Repository
from github_app.moves import locked, move, utc_now, write_event
from runner.protocol import Conclusion

LANE_MAX = 255


@dataclass(frozen=True)
class Refusal:
    """Why a job ends before it began: failure, skipped or action_required, and a sentence for people."""

    conclusion: Conclusion
    reason: str


@dataclass(frozen=True)
class JobRequest:
    """What it takes to make a job; the fields are those of `models.Job`.

    Attributes:
        trigger_key: The same request has the same key: a second `submit` gives the first one's job.
        labels: What a robot must have.
        owner: Whom the job counts for; None: the repository's owner.
        timeout_s: Longest time on the robot, per session [s].
        refusal: The job is made and completed at once; no runner sees it.
        announced_by: Number of the delivery that announced the commit, where it starts by itself.
    """

    repository_id: int
    trigger: str
    trigger_key: str
    requested_by: str
    sha: str
    ref: str
    config: dict[str, Any]
    labels: Sequence[str]
    timeout_s: float
    sessions: int = 1
    pull_request: int | None = None
    base_branch: str | None = None
    head_repository: str | None = None
    rerun_of: int | None = None
    config_error: dict[str, Any] | None = None
    owner: str | None = None
    refusal: Refusal | None = None
    announced_by: int | None = None


def lane_of(labels: Collection[str]) -> str:
    """The lane of a job that needs these labels.

    Raises:
        ValueError: They are too many or too long for the index.
    """
    lane = ",".join(sorted(set(labels)))
    if len(lane) > LANE_MAX:
        raise ValueError(f"the labels are longer than {LANE_MAX} characters together; use fewer")
    return lane


def submit(
    session: Session, request: JobRequest, *, queued_max: int | None = None, now: datetime | None = None
) -> Job:
    """Put a job into the queue, or find the one that the same request made before.

    Args:
        session: A writing transaction.
        request: The job.
        queued_max: Where its owner has so many jobs waiting, it is skipped.
        now: The time, where it is not now.

    Raises:
        ValueError: The labels do not fit a lane.
    """
    now = now or utc_now()
    repository = session.get_one(Repository, request.repository_id)
    owner = (request.owner or repository.owner).lower()
    lane = lane_of([*request.labels, *allowance.exclusions(session, repository)])
    fairness.lock_owner(session, owner)
    same = select(Job).where(Job.trigger_key == request.trigger_key)
    if (there := session.scalars(same).unique().one_or_none()) is not None:
        return there
    refusal = request.refusal or _too_many(session, owner, queued_max)
    refusal = refusal or _not_allowed(session, request, repository, owner, now)
    values = asdict(request)
    del values["refusal"]
    robot_s = request.timeout_s * request.sessions
    values.update(
        numbering.given(session),
        owner=owner,
        labels=sorted(set(request.labels)),
        lane=lane,
        status=Status.QUEUED.value,
        order_key=0.0 if refusal else fairness.next_tag(session, owner, lane, robot_s),
        created_at=now,
        next_report_at=now,
    )
    new = Database.insert(session, Job).values(values)
    new = new.on_conflict_do_nothing(index_elements=[Job.trigger_key])
    job_id = session.execute(new.returning(Job.id)).scalar_one_or_none()
    if job_id is None:
        return session.scalars(same).unique().one()  # another owner's, in this moment
    job = session.get_one(Job, job_id)
    write_event(session, job, EventKind.QUEUED, now, {"by": request.requested_by, "trigger": request.trigger})
    if refusal is not None:
        job.reason = refusal.reason
        move(session, job, EventKind.REFUSED, now=now, conclusion=refusal.conclusion)
    else:
        Database.wake(session, "queue")
    session.flush()
    return job


def _not_allowed(
    session: Session, request: JobRequest, repository: Repository, owner: str, now: datetime
) -> Refusal | None:
    robot_s = request.timeout_s * request.sessions
    reason = allowance.refusal(
        session, repository, owner=owner, labels=request.labels, robot_s=robot_s, now=now
    )
    return None if reason is None else Refusal(Conclusion.SKIPPED, reason)


def _too_many(session: Session, owner: str, queued_max: int | None) -> Refusal | None:
    if queued_max is None or fairness.queued_of(session, owner) < queued_max:
        return None
    return Refusal(
        Conclusion.SKIPPED,
        f"{owner} has {queued_max} jobs waiting, the most that this server keeps for one owner;"
        " cancel some, or run this again when there are fewer.",
    )


def cancel(session: Session, job_id: int, reason: str, by: str, *, now: datetime | None = None) -> Job:
    """Stop a job: at once where it is queued, else by asking its runner. Repeats change nothing.

    Raises:
        NoSuchJobError: There is no such job.
    """
    now = now or utc_now()
    if (owner := session.scalar(select(Job.owner).where(Job.id == job_id))) is not None:
        fairness.lock_owner(session, owner)
    job = locked(session, job_id)
    if job.status == Status.QUEUED.value:
        if job.attempt == 0:
            fairness.close_gap(session, job)
        job.reason = reason
        move(session, job, EventKind.CANCELLED, now=now, conclusion=Conclusion.CANCELLED, by=by)
    elif job.status != Status.COMPLETED.value and job.cancel_reason is None:
        job.cancel_reason = reason
        move(session, job, EventKind.CANCEL_REQUESTED, now=now, by=by, reason=reason)
    session.flush()
    return job
