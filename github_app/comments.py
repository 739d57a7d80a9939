"""Commands in comments on pull requests: who asked, may they, and what becomes of it.

A comment with a command gets a reaction at once (eyes), and another one when it is settled: a rocket where
something was queued, confused where nothing was. A refusal gets one reply that says why and what to do.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from github_app import commands, policy, requests
from github_app.config import Settings
from github_app.github import ForbiddenError, GitHub, GitHubError, InvalidError, NotFoundError
from github_app.models import Repository
from github_app.payloads import IssueComment
from github_app.queue import JobRequest

log = logging.getLogger(__name__)


@dataclass
class Answer:
    """What the commands of one comment come to."""

    requests: list[JobRequest] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def reply(self) -> str | None:
        """The one reply, where anything was refused."""
        return "\n\n".join(dict.fromkeys(self.refusals)) or None

    @property
    def reaction(self) -> str:
        """What the person sees on their comment."""
        queued = any(request.refusal is None for request in self.requests)
        return "rocket" if queued else "confused"

    @property
    def outcome(self) -> str:
        """For the delivery's row."""
        jobs = ", ".join(request.sha for request in self.requests)
        return "; ".join([*([f"jobs for {jobs}"] if jobs else []), *(f"refused: {r}" for r in self.refusals)])


def left_alone(said: IssueComment) -> str | None:
    """Why a comment holds no command for us, where it holds none."""
    if said.action != "created":
        return f"the comment was {said.action}"
    if said.issue.pull_request is None:
        return "not on a pull request"
    if said.sender.type != "User":
        return "not written by a person"
    return None if commands.parse(said.comment.body or "") else "no command"


@dataclass(frozen=True)
class Asked:
    """A comment on a pull request, where it was made, and whom to ask about it."""

    github: GitHub
    settings: Settings
    repository: Repository
    said: IssueComment


def answer(asked: Asked) -> Answer:
    """Decide on every command of the comment.

    Raises:
        GitHubError: GitHub could not be asked.
    """
    if not asked.settings.owner_allowed(asked.repository.owner):
        return Answer(
            refusals=[
                f"Repositories of {asked.repository.owner} may not use the robots of this host. "
                "Ask the host to add the owner to its list."
            ]
        )
    react(asked, "eyes")
    found = commands.parse(asked.said.comment.body or "")
    answered = Answer(
        refusals=[command.message for command in found if isinstance(command, commands.Mistake)]
    )
    if runs := [command for command in found if isinstance(command, commands.Run)]:
        _run(asked, runs, answered)
    return answered


def _run(asked: Asked, runs: list[commands.Run], answered: Answer) -> None:
    login = asked.said.sender.login
    permission = asked.github.permission(asked.repository, login)
    pull = asked.github.pull_request(asked.repository, asked.said.issue.number)
    for command in runs:
        decision = policy.decide_run(login=login, permission=permission, pull=pull, sha=command.sha)
        if isinstance(decision, policy.Denied):
            answered.refusals.append(decision.reason)
        elif decision.sha not in {request.sha for request in answered.requests}:
            _request(asked, decision, answered)


def _request(asked: Asked, granted: policy.Granted, answered: Answer) -> None:
    wish = requests.wish(asked.github, asked.settings, asked.repository, granted.sha)
    if wish is None:
        answered.refusals.append(
            f"There is neither a `.raas.yml` nor a `run.py` at `{granted.sha}`, so there is nothing to run. "
            "Add a `run.py` to the repository's root."
        )
        return
    number = asked.said.issue.number
    answered.requests.append(
        wish.request(
            trigger="comment",
            # Not the commit: a comment that is processed again, after the head has moved, stays one job.
            trigger_key=f"comment:{asked.said.comment.id}:{len(answered.requests)}",
            requested_by=asked.said.sender.login,
            ref=f"pull/{number}",
            pull_request=number,
            head_repository=granted.head_repository,
        )
    )


def reply_once(asked: Asked, text: str, *, first_try: bool) -> None:
    """Reply to the comment, unless an earlier try did and then was lost.

    Raises:
        GitHubUnavailableError: Not now. Where the App may not speak (a locked conversation), it stays silent.
    """
    comment, number = asked.said.comment, asked.said.issue.number
    marker = f"<!-- raas: reply to {comment.id} -->"
    try:
        if first_try or not asked.github.replied(asked.repository, number, marker, comment.created_at):
            asked.github.reply(asked.repository, number, f"{text}\n\n{marker}")
    except (ForbiddenError, NotFoundError, InvalidError) as error:
        log.warning("no reply to comment %s: %s", comment.id, error)


def react(asked: Asked, content: str) -> None:
    """React to the comment. A missing reaction is no reason to hold anything up."""
    try:
        asked.github.react(asked.repository, asked.said.comment.id, content)
    except GitHubError as error:
        log.warning("no reaction %s on comment %s: %s", content, asked.said.comment.id, error)
