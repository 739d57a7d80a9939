"""Commands in comments on pull requests: who asked, may they, and what becomes of it.

A comment with a command gets a reaction at once (eyes), and another one when it is settled: a rocket where
something was done, confused where nothing was. There is one reply, and only where it helps: to a question
(status, help), or to a refusal, then it says why and what to do.

Both are written to GitHub and count against the installation's budget (`rate_limits`). Where it is spent,
reactions are left out; a reply waits, unless that would hold up what the comment asks for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.orm import Session

from github_app import allowance, commands, plans, policy, queue, replies, requests
from github_app.config import Settings
from github_app.github import (
    ForbiddenError,
    GitHub,
    GitHubError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
)
from github_app.models import Repository
from github_app.moves import utc_now
from github_app.payloads import IssueComment
from github_app.queue import JobRequest
from github_app.services import Services

log = logging.getLogger(__name__)


@dataclass
class Answer:
    """What the commands of one comment come to.

    Attributes:
        requests: Jobs to submit.
        cancels: Jobs to cancel.
        notes: What was asked for, or helps.
        refusals: Why something is not done.
    """

    requests: list[JobRequest] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def reply(self) -> str | None:
        """The one reply, where there is anything to say."""
        return "\n\n".join(dict.fromkeys([*self.refusals, *self.notes])) or None

    @property
    def reaction(self) -> str:
        """What the person sees on their comment."""
        queued = any(request.refusal is None for request in self.requests)
        done = queued or self.cancels or (self.notes and not self.refusals)
        return "rocket" if done else "confused"

    @property
    def outcome(self) -> str:
        """For the delivery's row."""
        said = [f"jobs for {', '.join(request.sha for request in self.requests)}"] if self.requests else []
        said += [f"cancelled {', '.join(map(str, self.cancels))}"] if self.cancels else []
        said += ["answered"] if self.notes else []
        return "; ".join([*said, *(f"refused: {reason}" for reason in self.refusals)])


def left_alone(said: IssueComment) -> str | None:
    """Why a comment holds no command for us, where it holds none."""
    if said.action != "created":
        return f"the comment was {said.action}"
    if said.issue.pull_request is None:
        return "not on a pull request"
    if said.sender.type != policy.PERSON:
        return "not written by a person"
    return None if commands.parse(said.comment.body or "") else "no command"


@dataclass(frozen=True)
class Asked:
    """A comment on a pull request, and where it was made."""

    here: Services
    repository: Repository
    said: IssueComment

    @property
    def settings(self) -> Settings:
        """The server's."""
        return self.here.settings

    @property
    def github(self) -> GitHub:
        """Whom to ask about it."""
        return self.here.github


def answer(asked: Asked) -> Answer:
    """Decide on every command of the comment.

    Raises:
        GitHubError: GitHub could not be asked.
    """
    with asked.here.db.read() as session:
        let_in = allowance.lets_in(session, asked.settings, asked.repository.owner)
    if not let_in:
        return Answer(refusals=[allowance.not_let_in(asked.repository.owner)])
    react(asked, "eyes")
    answered = Answer()
    found = commands.parse(asked.said.comment.body or "")
    runs = [command for command in found if isinstance(command, commands.Run)]
    cancels = [command for command in found if isinstance(command, commands.Cancel)]
    answered.refusals += [command.message for command in found if isinstance(command, commands.Mistake)]
    if runs or cancels:
        permission = asked.github.permission(asked.repository, asked.said.sender.login)
        _cancel(asked, cancels, permission, answered)
        _run(asked, runs, permission, answered)
    if commands.Status() in found:
        answered.notes.append(replies.status(asked.here, asked.repository, asked.said.issue.number))
    if commands.Help() in found:
        answered.notes.append(commands.USAGE)
    return answered


def _run(asked: Asked, runs: list[commands.Run], permission: str, answered: Answer) -> None:
    if not runs:
        return
    login = asked.said.sender.login
    pull = asked.github.pull_request(asked.repository, asked.said.issue.number)
    for command in runs:
        of_ref = None
        if command.ref and policy.may_move(permission):
            of_ref = _head_of(asked, command.ref)
            if of_ref is None:
                answered.refusals.append(
                    f"This repository has no branch or tag `{command.ref}`. Look at its spelling; upper and "
                    "lower case matter."
                )
                continue
        decision = policy.decide_run(
            login=login, permission=permission, pull=pull, sha=command.sha, ref_head=of_ref
        )
        if isinstance(decision, policy.Denied):
            answered.refusals.append(decision.reason)
        else:
            base = None if command.ref else pull.base_branch
            _request(asked, command, decision, base, answered)


def _head_of(asked: Asked, ref: str) -> str | None:
    """Where a branch or tag of the repository is: never a commit by its SHA, which may be a fork's."""
    for name in (f"heads/{ref}", f"tags/{ref}"):
        if (commit := asked.github.commit(asked.repository, name)) is not None:
            return commit.sha
    return None


def _request(
    asked: Asked, command: commands.Run, granted: policy.Granted, base: str | None, answered: Answer
) -> None:
    said = asked.said
    with asked.here.db.read() as session:
        most = allowance.limits(session, asked.settings)
    wished = requests.of_command(asked.github, most, asked.repository, command, granted.sha)
    if isinstance(wished, str):
        answered.refusals.append(wished)
        return
    request = wished.wish.request(
        trigger="comment",
        # Not the commit: a comment that is processed again, after the head has moved, stays one job.
        trigger_key=f"comment:{said.comment.id}:{len(answered.requests)}",
        requested_by=said.sender.login,
        ref=command.ref or f"pull/{said.issue.number}",
        pull_request=None if command.ref else said.issue.number,
        base_branch=base,
        head_repository=granted.head_repository,
        sessions=wished.sessions,
    )
    if any(_same(request, other) for other in answered.requests):
        return
    if (reason := _refused(asked, request)) is not None:
        answered.refusals.append(reason)
        return
    answered.requests.append(request)
    if command.ref:
        answered.notes.append(replies.elsewhere(asked.here, asked.repository, command.ref, request.sha))


def _same(one: JobRequest, other: JobRequest) -> bool:
    return all(
        getattr(one, name) == getattr(other, name) for name in ("sha", "labels", "timeout_s", "sessions")
    )


def _refused(asked: Asked, request: JobRequest) -> str | None:
    """What the queue would answer, asked before so that the person is told."""
    if request.refusal is not None:
        return None
    with asked.here.db.read() as session:
        return allowance.refusal(
            session,
            asked.repository,
            owner=asked.repository.owner.lower(),
            labels=request.labels,
            robot_s=request.timeout_s * request.sessions,
            now=utc_now(),
        )


def _cancel(asked: Asked, cancels: list[commands.Cancel], permission: str, answered: Answer) -> None:
    for command in cancels:
        denied = policy.decide_command(login=asked.said.sender.login, permission=permission)
        if denied is not None:
            answered.refusals.append(denied.reason)
            continue
        found = replies.unfinished(asked.here, asked.repository, asked.said.issue.number, command.job)
        if not found:
            answered.refusals.append(replies.nothing_to_cancel(command.job))
        answered.cancels += [number for number in found if number not in answered.cancels]


def store(asked: Asked, answered: Answer, session: Session) -> None:
    """Write down what was decided."""
    login = asked.said.sender.login
    for number in answered.cancels:
        queue.cancel(session, number, f"Cancelled by {login} in a comment.", by=login)
    plans.remember_and_submit(asked.settings, asked.repository, answered.requests, session)


def reply_once(asked: Asked, answered: Answer, *, first_try: bool) -> None:
    """Reply to the comment, unless an earlier try did and then was lost.

    Raises:
        GitHubUnavailableError: Not now, or the budget is spent. Where the App may not speak (a locked
            conversation), it stays silent.
    """
    comment, number = asked.said.comment, asked.said.issue.number
    if (until := asked.here.limits.spend(asked.repository.installation_id, urgent=True)) is not None:
        if answered.requests or answered.cancels:
            log.warning("no reply to comment %s: the budget of writes is spent", comment.id)
            return
        raise RateLimitedError("the budget of writes to GitHub is spent", until)
    marker = f"<!-- raas: reply to {comment.id} -->"
    replied = partial(asked.github.replied, asked.repository, number, marker, comment.created_at)
    try:
        if first_try or not replied():
            asked.github.reply(asked.repository, number, f"{answered.reply}\n\n{marker}")
    except (ForbiddenError, NotFoundError, InvalidError) as error:
        log.warning("no reply to comment %s: %s", comment.id, error)


def react(asked: Asked, content: str) -> None:
    """React to the comment. A missing reaction is no reason to hold anything up."""
    if asked.here.limits.spend(asked.repository.installation_id, urgent=False) is not None:
        return
    try:
        asked.github.react(asked.repository, asked.said.comment.id, content)
    except GitHubError as error:
        log.warning("no reaction %s on comment %s: %s", content, asked.said.comment.id, error)
