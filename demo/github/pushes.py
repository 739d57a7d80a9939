"""What a push sets in motion: push events, check suites, pull requests that move, merge or close."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from demo.github import events, pulls
from demo.github.git_store import NO_SHA, Commit
from demo.github.models import Account, Issue, Pull, Repository
from demo.github.scope import Scope, now
from demo.github.shapes.accounts import Json
from demo.github.shapes.repositories import email, html_url

MAX_TAGS_WITH_EVENTS = 3
"""GitHub tells of no tag when more than this are pushed at once."""

_LISTED_COMMITS = 2048


@dataclass(frozen=True)
class Move:
    """One ref that was at `old` and is at `new`; `NO_SHA` for nothing."""

    ref: str
    old: str
    new: str

    @property
    def created(self) -> bool:
        """Whether the ref is new."""
        return self.old == NO_SHA

    @property
    def deleted(self) -> bool:
        """Whether the ref is gone."""
        return self.new == NO_SHA

    @property
    def branch(self) -> str | None:
        """The branch's name, None for a tag."""
        prefix = "refs/heads/"
        return self.ref.removeprefix(prefix) if self.ref.startswith(prefix) else None


def moves(before: Mapping[str, str], after: Mapping[str, str]) -> list[Move]:
    """Compare two states of a repository's refs."""
    found = [
        Move(ref, before.get(ref, NO_SHA), after.get(ref, NO_SHA)) for ref in before.keys() | after.keys()
    ]
    return sorted((move for move in found if move.old != move.new), key=lambda move: move.ref)


def record(
    scope: Scope, row: Repository, pusher: Account, pushed: Sequence[Move], branches: Iterable[str]
) -> None:
    """Tell of a push; `branches` are the repository's branches after it."""
    row.pushed_at = row.updated_at = now()
    _choose_default_branch(scope, row, branches)
    quiet_tags = sum(move.branch is None for move in pushed) > MAX_TAGS_WITH_EVENTS
    for move in pushed:
        if move.branch is not None or not quiet_tags:
            events.push(scope, row, pusher, _payload(scope, row, pusher, move))
        if move.branch is not None:
            _branch_moved(scope, row, pusher, move)


def _choose_default_branch(scope: Scope, row: Repository, branches: Iterable[str]) -> None:
    """Take the first branch of an empty repository as its default, whatever it is called."""
    names = set(branches)
    if names and row.default_branch not in names:
        row.default_branch = min(names)
        scope.store.set_default_branch(row.id, row.default_branch)


def _branch_moved(scope: Scope, row: Repository, pusher: Account, move: Move) -> None:
    still_open = select(Pull).join(Pull.issue).where(Issue.state == "open")
    of_head = still_open.where(Pull.head_ref == move.branch, Pull.head_repository_id == row.id)
    if move.deleted:
        for pull in list(scope.session.scalars(of_head)):
            pulls.close(scope, pull, pusher)
        return
    events.check_suite_requested(scope, row, pusher, branch=str(move.branch), before=move.old, after=move.new)
    for pull in list(scope.session.scalars(of_head)):
        pulls.move_head(scope, pull, pusher, move.new)
    of_base = still_open.where(Pull.base_ref == move.branch, Issue.repository_id == row.id)
    for pull in list(scope.session.scalars(of_base)):
        pulls.move_base(scope, pull, pusher, move.new)


def _payload(scope: Scope, row: Repository, pusher: Account, move: Move) -> Json:
    page, name = html_url(scope, row), move.ref.split("/", 2)[2]
    span = name if move.created else f"{move.old[:12]}...{move.new[:12]}"
    rewritten = not move.created and not move.deleted
    return {
        "ref": move.ref,
        "before": move.old,
        "after": move.new,
        "base_ref": None,
        "compare": f"{page}/compare/{span}",
        "created": move.created,
        "deleted": move.deleted,
        "forced": rewritten and not scope.store.is_ancestor(row.id, move.old, move.new),
        "commits": _commits(scope, row, _new_commits(scope, row, move)),
        "head_commit": _head_commit(scope, row, move),
        "pusher": {"name": pusher.login, "email": email(pusher.login)},
    }


def _head_commit(scope: Scope, row: Repository, move: Move) -> Json | None:
    return None if move.deleted else _commits(scope, row, [scope.store.commit(row.id, move.new)])[0]


def _new_commits(scope: Scope, row: Repository, move: Move) -> list[Commit]:
    """Return what a branch gained, oldest first; of a new branch, what the default branch has not."""
    if move.branch is None or move.deleted:
        return []
    known = move.old
    if move.created:
        default = scope.store.resolve(row.id, f"refs/heads/{row.default_branch}")
        known = default if default and default != move.new else NO_SHA
    return scope.store.log(row.id, move.new, exclude=known, limit=_LISTED_COMMITS)[::-1]


def _commits(scope: Scope, row: Repository, commits: Sequence[Commit]) -> list[Json]:
    changes = scope.store.changed_files(row.id, [it.sha for it in commits])
    return [
        {
            "id": it.sha,
            "tree_id": it.tree,
            "distinct": True,
            "message": it.message,
            "timestamp": it.committer.date,
            "url": f"{html_url(scope, row)}/commit/{it.sha}",
            "author": {"name": it.author.name, "email": it.author.email},
            "committer": {"name": it.committer.name, "email": it.committer.email},
            **changes[it.sha],
        }
        for it in commits
    ]
