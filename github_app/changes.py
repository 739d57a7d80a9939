"""New commits: what a push or a pull request comes to.

A push counts, whoever it is from, because GitHub lets only people with write permission push. A pull
request's head runs by itself where it is the repository's own and somebody with write permission moved it;
from elsewhere it waits for approval. Both may announce one commit; the key of the job keeps it to one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sqlalchemy import update
from sqlalchemy.orm import Session

from github_app import allowance, payloads, plans, policy, records, requests
from github_app.config import Settings
from github_app.models import Delivery, Job, Repository
from github_app.plans import Plan
from github_app.policy import PullVerdict
from github_app.queue import JobRequest
from github_app.services import Services

SKIP_MARKS = ("[skip raas]", "[raas skip]")
BRANCH_PREFIX = "refs/heads/"


def push_left_alone(settings: Settings, push: payloads.Push) -> str | None:
    """Why a push starts nothing, where that can be told from the push alone."""
    if not push.ref.startswith(BRANCH_PREFIX):
        return "left alone: not a branch"
    if push.deleted or push.head_commit is None:
        return "left alone: the branch was deleted"
    if skips(push.head_commit.message):
        return "left alone: the commit message says so"
    if not settings.owner_allowed(push.repository.owner.login):
        return not_let_in(push.repository.owner.login)
    return None


def pull_left_alone(settings: Settings, said: payloads.PullRequestEvent) -> str | None:
    """Why a pull request starts nothing, likewise."""
    if said.action not in policy.PULL_ACTIONS:
        return f"left alone: the pull request was {said.action}"
    if not settings.owner_allowed(said.repository.owner.login):
        return not_let_in(said.repository.owner.login)
    return None


def skips(message: str) -> bool:
    """Whether a commit's message asks to be left alone."""
    return any(mark in message.lower() for mark in SKIP_MARKS)


def not_let_in(owner: str) -> str:
    """The outcome of what comes from an owner who is not on the list."""
    return f"refused: {owner} may not use this host's robots"


def push(here: Services, delivery: Delivery) -> Plan:
    """A branch has a new head."""
    said = payloads.Push.model_validate_json(delivery.payload)
    repository = records.current(here.db, here.github, said.repository, said.installation.id)
    head = said.head_commit
    assert head is not None  # noqa: S101  # `push_left_alone` saw to it
    branch = said.ref.removeprefix(BRANCH_PREFIX)
    wish = _wish(here, repository, head.id)
    keep = partial(records.remember, settings=here.settings, repository=repository)
    if isinstance(wish, str):
        return Plan(wish, keep)
    if not wish.wants_push(branch):
        return Plan(f"left alone: .raas.yml does not ask for pushes to {branch}", keep)
    request = wish.request(
        trigger="push",
        trigger_key=plans.automatic_key(repository, head.id),
        requested_by=said.sender.login,
        ref=branch,
    )
    request = replace(request, announced_by=delivery.id)
    return Plan(f"job for {head.id}", _submit(here, repository, request))


def pull_request(here: Services, delivery: Delivery) -> Plan:
    """A pull request was opened, moved or reopened."""
    said = payloads.PullRequestEvent.model_validate_json(delivery.payload)
    repository = records.current(here.db, here.github, said.repository, said.installation.id)
    head = said.pull_request.head
    keep = partial(records.remember, settings=here.settings, repository=repository)
    verdict = _verdict(here, repository, said)
    if verdict is PullVerdict.LEAVE:
        return Plan(f"left alone: {said.sender.login} has no write permission", keep)
    auto, hold = plans.automatic_key(repository, head.sha), plans.held_key(repository, head.sha)
    if plans.known(here, auto, *([hold] if verdict is PullVerdict.HOLD else [])) is not None:
        known = partial(_known, here.settings, repository, auto, said)
        return Plan(f"left alone: {head.sha} was announced before", known)
    wish = _wish(here, repository, head.sha)
    if isinstance(wish, str):
        return Plan(wish, keep)
    if not wish.wants_pull_request:
        return Plan("left alone: .raas.yml does not ask for pull requests", keep)
    commit = here.github.commit(repository, head.sha)
    if commit is not None and skips(commit.commit.message):
        return Plan("left alone: the commit message says so", keep)
    elsewhere = head.repo.full_name if head.repo is not None else None
    held = verdict is PullVerdict.HOLD
    request = wish.request(
        trigger="pull_request",
        trigger_key=hold if held else auto,
        requested_by=said.sender.login,
        ref=head.ref,
        pull_request=said.number,
        base_branch=said.pull_request.base.ref,
        head_repository=elsewhere if held else None,
        refusal=plans.held(elsewhere) if held else None,
    )
    request = replace(request, announced_by=delivery.id)
    what = "waits for approval" if held and request.config_error is None else "job for"
    return Plan(f"{what} {head.sha}", partial(_submit_pull, here.settings, repository, request, said))


def _submit_pull(
    settings: Settings,
    repository: Repository,
    request: JobRequest,
    said: payloads.PullRequestEvent,
    session: Session,
) -> None:
    plans.remember_and_submit(settings, repository, [request], session)
    _known(settings, repository, request.trigger_key, said, session)


def _known(
    settings: Settings, repository: Repository, key: str, said: payloads.PullRequestEvent, session: Session
) -> None:
    """The push was faster, and knew of no pull request."""
    records.remember(session, settings, repository)
    unlinked = update(Job).where(Job.trigger_key == key, Job.pull_request.is_(None))
    session.execute(unlinked.values(pull_request=said.number, base_branch=said.pull_request.base.ref))


def _verdict(here: Services, repository: Repository, said: payloads.PullRequestEvent) -> PullVerdict:
    head = said.pull_request.head.repo
    elsewhere = head is None or head.id != repository.id
    # Nobody's permission makes a commit from elsewhere run by itself, so it is not asked for.
    permission = "none" if elsewhere else here.github.permission(repository, said.sender.login)
    return policy.decide_pull(
        action=said.action,
        from_elsewhere=elsewhere,
        sender_type=said.sender.type,
        permission=permission,
    )


def _wish(here: Services, repository: Repository, sha: str) -> requests.Wish | str:
    """What the repository wants at a commit, or why it is left alone."""
    with here.db.read() as session:
        if not allowance.lets_in(session, here.settings, repository.owner):
            return not_let_in(repository.owner)
        most = allowance.limits(session, here.settings)
    wish = requests.wish(here.github, most, repository, sha)
    return wish or "left alone: neither .raas.yml nor run.py"


def _submit(here: Services, repository: Repository, request: JobRequest) -> partial[None]:
    return partial(plans.remember_and_submit, here.settings, repository, [request])
