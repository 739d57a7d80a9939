"""Who may do what. Pure: facts in, a decision with its reason out; nothing here asks anyone.

The rules, each stated once:

- A repository may use this host's robots if its owner is on the list (`RAAS_OWNERS`).
- A person may move a robot for a repository if GitHub's collaborator permission says `admin` or `write`.
  (`maintain` is reported as `write`, `triage` as `read`.) Who opened a pull request does not matter, nor
  does `author_association`. Programs never may: a bot that repeats what strangers say would be their hand.
- A command on a pull request counts while that is open.
- A pull request from elsewhere runs only by its whole SHA: the command must name the commit that was
  looked at. An abbreviation would not do, because the author of a fork can make two commits that share
  one (for twelve digits some 2^24 tries, a minute) and swap them after
  they were read. Within the repository itself, whose writers may run anything anyway, seven digits do.
- A pull request of the repository's own branches runs by itself when somebody with write permission opened,
  reopened or moved it. A pull request from elsewhere never runs by itself: it waits for approval.
- A button, or GitHub's own "Re-run", counts from the same people as a command, and only if the job offers it
  at that moment. An approval runs exactly the commit of the job it was given to. A re-run of what waits for
  approval waits for approval.
- Jobs of private repositories are shown to those who can read the repository; to anybody else they look
  exactly like jobs that do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flask import g
from sqlalchemy import ColumnElement, or_

from github_app import buttons
from github_app.buttons import Press
from github_app.jobs import Status
from github_app.models import Job, Repository
from runner.protocol import Conclusion

PERMISSIONS_TO_MOVE = frozenset({"admin", "write"})
PULL_ACTIONS = frozenset({"opened", "synchronize", "reopened"})
PERSON = "User"
"""What GitHub calls the account of a person."""


@dataclass(frozen=True)
class Granted:
    """Go on, with exactly this commit; `head_repository` is where it lives if that is elsewhere."""

    sha: str
    head_repository: str | None = None


@dataclass(frozen=True)
class Denied:
    """No. `reason` is a sentence for the person who asked, and says what to do."""

    reason: str


@dataclass(frozen=True)
class PullRequestFacts:
    """What GitHub says of a pull request at this moment.

    Attributes:
        open: Neither closed nor merged.
        head_sha: The commit at its head.
        head_repository_id: None where the fork was deleted.
        head_repository: `owner/name`, likewise.
        base_repository_id: The repository it would change.
        base_branch: The branch of it.
    """

    open: bool
    head_sha: str
    head_repository_id: int | None
    head_repository: str | None
    base_repository_id: int
    base_branch: str

    @property
    def from_elsewhere(self) -> bool:
        """Whether people without write permission may have put its commits there."""
        return self.head_repository_id != self.base_repository_id


def may_move(permission: str) -> bool:
    """Whether somebody with this collaborator permission may move a robot."""
    return permission in PERMISSIONS_TO_MOVE


def decide_run(
    *, login: str, permission: str, pull: PullRequestFacts, sha: str | None, ref_head: str | None = None
) -> Granted | Denied:
    """Whether `/raas run [sha]` by this person on this pull request is obeyed, and with which commit.

    Args:
        login: Who asks.
        permission: Their collaborator permission on the base repository.
        pull: The pull request as it is now.
        sha: What the command named, lower case, 7 to 40 digits, or None.
        ref_head: Where `--ref`, a branch or tag of the base repository, is; None where none was named.
    """
    if (denied := decide_command(login=login, permission=permission)) is not None:
        return denied
    if not pull.open:
        return Denied("This pull request is not open. Reopen it, or push the commit to a branch.")
    if ref_head is not None:
        return _decide_ref(sha, ref_head)
    if pull.from_elsewhere and (sha is None or len(sha) != 40):
        return Denied(
            "This pull request comes from another repository, so the command must name the whole commit "
            "that you have looked at. If that is the head as of now, comment "
            f"`/raas run {pull.head_sha}`.",
        )
    if sha is not None and not pull.head_sha.startswith(sha):
        return Denied(
            f"`{sha}` is not the head of this pull request, which is now `{pull.head_sha}`. "
            "Look at what has changed, then name that commit.",
        )
    return Granted(pull.head_sha, pull.head_repository if pull.from_elsewhere else None)


def _decide_ref(sha: str | None, ref_head: str) -> Granted | Denied:
    if sha is not None and not ref_head.startswith(sha):
        return Denied(f"`{sha}` is not the head of that branch or tag, which is now `{ref_head}`.")
    return Granted(ref_head)


class PullVerdict(Enum):
    """What becomes of the head of a pull request that was announced."""

    RUN = "run"
    HOLD = "hold"
    LEAVE = "leave"


def decide_pull(*, action: str, from_elsewhere: bool, sender_type: str, permission: str) -> PullVerdict:
    """Whether the head of a pull request runs by itself.

    Args:
        action: What happened to the pull request.
        from_elsewhere: Whether its head is in another repository, or in none any more.
        sender_type: GitHub's word for the account that did it.
        permission: The account's collaborator permission on the base repository.
    """
    if action not in PULL_ACTIONS:
        return PullVerdict.LEAVE
    if from_elsewhere:
        return PullVerdict.HOLD
    # Anybody may open a pull request between two branches of a public repository.
    return PullVerdict.RUN if sender_type == PERSON and may_move(permission) else PullVerdict.LEAVE


def decide_command(*, login: str, permission: str) -> Denied | None:
    """Whether somebody may say what becomes of a repository's jobs; None if so."""
    if may_move(permission):
        return None
    return Denied(
        f"Only people with write permission on this repository may move the robot, and {login} has "
        f"`{permission}`. Ask one of its maintainers to comment the command.",
    )


class PressVerdict(Enum):
    """What becomes of a job whose button was pressed, or which GitHub was asked to run again."""

    AGAIN = "again"
    HOLD_AGAIN = "hold_again"
    APPROVE = "approve"
    CANCEL = "cancel"


def decide_press(
    *,
    identifier: str | None,
    sender_type: str,
    login: str,
    permission: str,
    status: Status,
    conclusion: Conclusion | None,
) -> PressVerdict | Denied:
    """Whether a press is obeyed.

    Args:
        identifier: The button's; None for GitHub's own "Re-run".
        sender_type: GitHub's word for the account that pressed.
        login: Its name.
        permission: Its collaborator permission on the repository.
        status, conclusion: Where the job stands now.
    """
    if sender_type != PERSON:
        return Denied(f"{login} is no person; only people may move the robot.")
    if (denied := decide_command(login=login, permission=permission)) is not None:
        return denied
    if identifier is None:
        return _rerequested(status, conclusion)
    press = buttons.named(identifier, status, conclusion)
    if press is None:
        return Denied("The job has no such button now; look at its newest check run.")
    return _PRESSED[press]


def _rerequested(status: Status, conclusion: Conclusion | None) -> PressVerdict | Denied:
    if status is not Status.COMPLETED:
        return Denied("The job is not over, so there is nothing to run again.")
    held = conclusion is Conclusion.ACTION_REQUIRED
    return PressVerdict.HOLD_AGAIN if held else PressVerdict.AGAIN


_PRESSED = {
    Press.RUN_AGAIN: PressVerdict.AGAIN,
    Press.APPROVE: PressVerdict.APPROVE,
    Press.CANCEL: PressVerdict.CANCEL,
}


@dataclass(frozen=True)
class Viewer:
    """Who looks at a page.

    Attributes:
        login: Their GitHub login, or None for a stranger.
        readable: Ids of the private repositories they can read.
    """

    login: str | None = None
    readable: frozenset[int] = frozenset()


STRANGER = Viewer()


def viewer() -> Viewer:
    """Who sends the current request; `auth` has found out before."""
    known: Viewer = g.get("viewer", STRANGER)
    return known


def visible(job: Job, viewer: Viewer) -> bool:
    """Whether `viewer` may know that `job` exists."""
    return not job.repository.private or job.repository_id in viewer.readable


def visible_rows(viewer: Viewer) -> ColumnElement[bool]:
    """The same rule for a query that joins `Repository`."""
    return or_(Repository.private.is_(False), Repository.id.in_(viewer.readable))
