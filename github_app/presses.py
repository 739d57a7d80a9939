"""What people press at a check run: our buttons, and GitHub's own "Re-run" and "Re-run all".

A press names a check run of GitHub's and, in it, a job of ours. Both are compared with what is known: the
App, the repository, the commit and the check run have to be this job's, so that no number made up, kept from
another time or taken from another repository moves anything. Who pressed is asked of the collaborator API,
though GitHub shows the buttons to writers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import allowance, changes, fairness, payloads, plans, policy, queue, records
from github_app.config import Settings
from github_app.jobs import Status
from github_app.models import Delivery, Job, Repository
from github_app.moves import state_of
from github_app.plans import Plan
from github_app.policy import Denied, PressVerdict
from github_app.services import Services

JOBS_MAX = 20
"""Jobs of one commit that "Re-run all" looks at, the newest first."""


def run_left_alone(settings: Settings, said: payloads.CheckRunEvent) -> str | None:
    """Why a check run's event starts nothing, where that can be told from it alone."""
    if said.action not in ("rerequested", "requested_action"):
        return f"left alone: the check run was {said.action}"
    if said.action == "requested_action" and said.requested_action is None:
        return "left alone: no button is named"
    return _sender_left_alone(settings, said, said.check_run.app)


def suite_left_alone(settings: Settings, said: payloads.CheckSuiteEvent) -> str | None:
    """Likewise for a check suite's; `requested` comes beside every push, which is enough."""
    if said.action != "rerequested":
        return f"left alone: the check suite was {said.action}"
    return _sender_left_alone(settings, said, said.check_suite.app)


def _sender_left_alone(
    settings: Settings, said: payloads.CheckRunEvent | payloads.CheckSuiteEvent, app: payloads.App | None
) -> str | None:
    if app is None or app.id != settings.github_app_id:
        return "left alone: of another App"
    if said.sender.type != policy.PERSON:
        return "left alone: not asked by a person"
    owner = said.repository.owner.login
    return None if settings.owner_allowed(owner) else changes.not_let_in(owner)


@dataclass(frozen=True)
class Pressed:
    """Who pressed what, in which delivery, and what they may. `identifier` is None for GitHub's "Re-run"."""

    guid: str
    sender: payloads.Account
    permission: str
    identifier: str | None


def check_run(here: Services, delivery: Delivery) -> Plan:
    """A button was pressed at a check run, or "Re-run"."""
    said = payloads.CheckRunEvent.model_validate_json(delivery.payload)
    repository = records.current(here.db, here.github, said.repository, said.installation.id)
    with here.db.read() as session:
        job = _job_of(session, repository, said.check_run)
    if job is None:
        keep = partial(records.remember, settings=here.settings, repository=repository)
        return Plan("refused: the check run is of no job of this repository and commit", keep)
    identifier = said.requested_action.identifier if said.requested_action else None
    pressed = _pressed(here, delivery, repository, said.sender, identifier)
    return Plan("pressed", partial(_store, here.settings, repository, [job.id], pressed))


def check_suite(here: Services, delivery: Delivery) -> Plan:
    """ "Re-run all": the newest job of each kind of robot at the commit, where it is over."""
    said = payloads.CheckSuiteEvent.model_validate_json(delivery.payload)
    repository = records.current(here.db, here.github, said.repository, said.installation.id)
    with here.db.read() as session:
        jobs = _newest(session, repository, said.check_suite.head_sha)
    pressed = _pressed(here, delivery, repository, said.sender, None)
    return Plan("pressed", partial(_store, here.settings, repository, jobs, pressed))


def _pressed(
    here: Services,
    delivery: Delivery,
    repository: Repository,
    sender: payloads.Account,
    identifier: str | None,
) -> Pressed:
    return Pressed(delivery.guid, sender, here.github.permission(repository, sender.login), identifier)


def _job_of(session: Session, repository: Repository, run: payloads.CheckRun) -> Job | None:
    """The job of a check run, if everything that both know agrees."""
    number = run.external_id or ""
    ours = number.isascii() and number.isdecimal() and len(number) < 19
    job = session.get(Job, int(number)) if ours else None
    if job is None or job.repository_id != repository.id or job.sha != run.head_sha:
        return None
    # Between GitHub's answer and our noting it, the number of the check run is not known yet.
    return job if job.check_run_id in (None, run.id) else None


def _newest(session: Session, repository: Repository, sha: str) -> list[int]:
    """The newest job of each set of labels at a commit."""
    found = session.scalars(
        select(Job)
        .where(Job.repository_id == repository.id, Job.sha == sha)
        .order_by(Job.id.desc())
        .limit(JOBS_MAX)
    ).unique()
    newest: dict[tuple[str, ...], int] = {}
    for job in found:
        newest.setdefault(tuple(job.labels), job.id)
    return sorted(newest.values())


def _store(
    settings: Settings, repository: Repository, jobs: Sequence[int], pressed: Pressed, session: Session
) -> str:
    """Do what was pressed; returns what became of it."""
    records.remember(session, settings, repository)
    allowance.hold_lanes(session)
    told = [_obey(session, settings, session.get_one(Job, number), pressed) for number in jobs]
    return "; ".join(told) or "left alone: there is no job at this commit"


def on_our_page(session: Session, settings: Settings, job_id: int, pressed: Pressed) -> str:
    """A button of a job's page: the same rules as at GitHub; returns what became of it."""
    allowance.hold_lanes(session)
    return _obey(session, settings, session.get_one(Job, job_id), pressed)


def _obey(session: Session, settings: Settings, job: Job, pressed: Pressed) -> str:
    login = pressed.sender.login
    state = state_of(job)
    verdict = policy.decide_press(
        identifier=pressed.identifier,
        sender_type=pressed.sender.type,
        login=login,
        permission=pressed.permission,
        status=state.status,
        conclusion=state.conclusion,
    )
    if isinstance(verdict, Denied):
        return f"job {job.id}: refused: {verdict.reason}"
    if verdict is PressVerdict.CANCEL:
        queue.cancel(session, job.id, f"Cancelled by {login} on GitHub.", by=login)
        return f"job {job.id}: cancelled"
    if verdict is PressVerdict.APPROVE:
        return _approve(session, settings, job, login)
    return _again(session, settings, job, pressed, held=verdict is PressVerdict.HOLD_AGAIN)


def _approve(session: Session, settings: Settings, job: Job, login: str) -> str:
    """The key makes a second approval, or the same one again, the first one's job."""
    request = plans.once_more(
        session, settings, job, trigger="approval", trigger_key=f"approval:{job.id}", by=login
    )
    made = queue.submit(session, request, queued_max=settings.queued_max)
    return f"job {job.id}: approved as job {made.id}"


def _again(session: Session, settings: Settings, job: Job, pressed: Pressed, *, held: bool) -> str:
    """A double click is one re-run: while one is not over, there is no second."""
    fairness.lock_owner(session, job.owner)
    unfinished = select(Job.id).where(Job.rerun_of == job.id, Job.status != Status.COMPLETED.value)
    if (there := session.scalars(unfinished.limit(1)).first()) is not None:
        return f"job {job.id}: runs again already as job {there}"
    key = f"rerun:{job.id}:{pressed.guid}"
    trigger = plans.WEB if job.trigger == plans.WEB else "rerun"
    request = plans.once_more(
        session, settings, job, trigger=trigger, trigger_key=key, by=pressed.sender.login
    )
    if held:
        request = replace(request, refusal=plans.held(job.head_repository))
    made = queue.submit(session, request, queued_max=settings.queued_max)
    return f"job {job.id}: once more as job {made.id}"
