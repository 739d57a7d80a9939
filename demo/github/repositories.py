"""The life of a repository: made, forked, shared, renamed, hidden, transferred, archived, deleted."""

import re

from sqlalchemy import delete as delete_rows
from sqlalchemy import select

from demo.github import access, apps, events
from demo.github.errors import invalid, not_found
from demo.github.models import ROLES, Account, Collaborator, Repository
from demo.github.scope import Scope, now
from demo.github.shapes import accounts as shapes

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


def ensure(scope: Scope, full_name: str, *, private: bool = False) -> Repository:
    """Find or make a repository, empty at first."""
    owner_login, _, name = full_name.partition("/")
    found = scope.repository(owner_login, name)
    if found is not None:
        return found
    owner = scope.account(owner_login)
    if owner is None:
        raise not_found()
    row = _add(scope, owner, name, private=private, parent=None)
    scope.store.create(row.id, row.default_branch)
    return row


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in (".", "..") or name.endswith(".git"):
        reason = "use letters, digits, '.', '_' and '-', at most 100"
        raise invalid(f"{name!r} cannot be a repository's name: {reason}.")


def _add(scope: Scope, owner: Account, name: str, *, private: bool, parent: Repository | None) -> Repository:
    _check_name(name)
    row = Repository(owner=owner, name=name, private=private, parent=parent, default_branch="main")
    row.created_at = row.updated_at = row.pushed_at = now()
    if parent is not None:
        row.default_branch = parent.default_branch
    scope.session.add(row)
    scope.session.flush()
    return row


def fork(scope: Scope, parent: Repository, owner: Account) -> Repository:
    """Find or make an account's fork of a repository."""
    query = select(Repository).where(Repository.parent_id == parent.id, Repository.owner_id == owner.id)
    found = scope.session.scalar(query)
    if found is not None:
        return found
    row = _add(scope, owner, parent.name, private=parent.private, parent=parent)
    scope.store.fork(parent.id, row.id)
    return row


def set_role(scope: Scope, repository: Repository, user: Account, role: str) -> None:
    """Give a person a role on a repository; "none" takes it away."""
    if role not in ROLES:
        raise invalid(f"{role!r} is not a role; use one of {', '.join(ROLES)}.")
    if role == "none":
        key = (Collaborator.repository_id == repository.id, Collaborator.user_id == user.id)
        scope.session.execute(delete_rows(Collaborator).where(*key))
    else:
        scope.session.merge(Collaborator(repository_id=repository.id, user_id=user.id, role=role))


def set_flag(scope: Scope, row: Repository, actor: Account, flag: str, value: bool) -> None:
    """Set `archived` or `private`; Apps hear of a change."""
    words = {"archived": ("archived", "unarchived"), "private": ("privatized", "publicized")}[flag]
    if value == getattr(row, flag):
        return
    setattr(row, flag, value)
    row.updated_at = now()
    events.repository(scope, row, actor, words[0] if value else words[1])


def rename(scope: Scope, row: Repository, actor: Account, name: str) -> None:
    """Give a repository another name."""
    _check_name(name)
    before, row.name = row.name, name
    scope.session.flush()
    events.repository(scope, row, actor, "renamed", {"repository": {"name": {"from": before}}})


def transfer(scope: Scope, row: Repository, actor: Account, owner: Account) -> None:
    """Give a repository to another account: it leaves the old account's installations."""
    if row.owner.kind == "Organization":
        before = {"organization": shapes.organization(scope, row.owner)}
    else:
        before = {"user": shapes.account(scope, row.owner)}
    changes = {"owner": {"from": before}}
    for installation in list(access.installations_on(scope, row)):
        if installation.selection == "selected":
            apps.remove_from_installation(scope, installation, row)
    row.owner = owner
    scope.session.flush()
    events.repository(scope, row, actor, "transferred", changes)


def delete(scope: Scope, row: Repository, actor: Account) -> None:
    """Delete a repository with everything in it; pull requests from it stay, their head unknown."""
    events.repository(scope, row, actor, "deleted")
    scope.session.execute(delete_rows(Repository).where(Repository.id == row.id))
    scope.store.remove(row.id)
