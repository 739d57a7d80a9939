"""Who may do what: people by their role on a repository, Apps by the permissions of their installation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from demo.github.errors import ApiError, not_accessible, not_found, requires_authentication
from demo.github.models import (
    ROLES,
    Account,
    App,
    Collaborator,
    Installation,
    InstallationToken,
    InstalledRepository,
    Membership,
    Repository,
)
from demo.github.scope import Scope

_LEVELS = {"read": 1, "write": 2, "admin": 3}

REPORTED_PERMISSION = {"maintain": "write", "triage": "read"}
"""The collaborator endpoint knows four words only; `role_name` tells the rest."""


@dataclass(frozen=True)
class Anonymous:
    """Nobody: no token came with the request."""

    @property
    def key(self) -> str:
        """The name under which requests are counted."""
        return "anonymous"


@dataclass(frozen=True)
class Person:
    """A user with a personal access token, or (with `app`) a token the user granted to an App."""

    account: Account
    app: App | None = None

    @property
    def key(self) -> str:
        """The name under which requests are counted."""
        return f"user {self.account.id}"


@dataclass(frozen=True)
class AppItself:
    """An App, known by its signed JWT; it may only manage its installations and its webhook."""

    app: App

    @property
    def key(self) -> str:
        """The name under which requests are counted."""
        return f"app {self.app.id}"


@dataclass(frozen=True)
class Installed:
    """An App acting on an account's repositories with an installation token."""

    token: InstallationToken

    @property
    def key(self) -> str:
        """The name under which requests are counted."""
        return f"installation ID {self.token.installation_id}"


@dataclass(frozen=True)
class Client:
    """An App that shows its client id and secret; it may only manage the tokens people granted it."""

    app: App

    @property
    def key(self) -> str:
        """The name under which requests are counted."""
        return f"client {self.app.id}"


Principal = Anonymous | Person | AppItself | Installed | Client


def role(scope: Scope, account: Account, repository: Repository) -> str:
    """Return a person's role on a repository, one of `ROLES`. A public repository's readers have "none"."""
    owner = repository.owner
    if owner.id == account.id:
        return "admin"
    roles = ["none"]
    if owner.kind == "Organization":
        membership = scope.session.get(Membership, (owner.id, account.id))
        if membership is not None:
            # "read" is the base permission of members that GitHub gives a new organization.
            roles.append("admin" if membership.role == "admin" else "read")
    collaborator = scope.session.get(Collaborator, (repository.id, account.id))
    if collaborator is not None:
        roles.append(collaborator.role)
    return max(roles, key=ROLES.index)


def covers(scope: Scope, installation: Installation, repository: Repository) -> bool:
    """Whether an installation reaches a repository."""
    if installation.account_id != repository.owner_id:
        return False
    if installation.selection == "all":
        return True
    return scope.session.get(InstalledRepository, (installation.id, repository.id)) is not None


def covered_repositories(scope: Scope, installation: Installation) -> list[Repository]:
    """List an installation's repositories."""
    query = select(Repository).where(Repository.owner_id == installation.account_id).order_by(Repository.id)
    return [
        repository for repository in scope.session.scalars(query) if covers(scope, installation, repository)
    ]


def installations_on(scope: Scope, repository: Repository) -> Iterator[Installation]:
    """Yield the active installations that reach a repository."""
    query = select(Installation).where(
        Installation.account_id == repository.owner_id, Installation.suspended_at.is_(None)
    )
    for installation in scope.session.scalars(query.order_by(Installation.id)):
        if covers(scope, installation, repository):
            yield installation


def permits(granted: Mapping[str, str], needs: Mapping[str, str]) -> bool:
    """Whether granted permissions meet any one of the alternatives in `needs`."""
    return any(_LEVELS.get(granted.get(name, ""), 0) >= _LEVELS[level] for name, level in needs.items())


def require(
    scope: Scope,
    principal: Principal,
    repository: Repository,
    needs: Mapping[str, str],
    user_role: str = "read",
) -> None:
    """Let the principal pass or raise the error GitHub answers.

    `needs` names the App permissions of which one suffices; `user_role` the role a person must have
    (anybody may read a public repository).
    """
    reading = all(level == "read" for level in needs.values()) and user_role == "read"
    if isinstance(principal, Installed):
        _require_installed(scope, principal.token, repository, needs, reading)
    elif isinstance(principal, Person):
        _require_person(scope, principal, repository, user_role)
    elif isinstance(principal, AppItself | Client):
        raise not_accessible()
    elif repository.private:
        raise not_found()
    elif not reading:
        raise requires_authentication()


def _require_installed(
    scope: Scope, token: InstallationToken, repository: Repository, needs: Mapping[str, str], reading: bool
) -> None:
    chosen = token.repository_ids is None or repository.id in token.repository_ids
    covered = chosen and covers(scope, token.installation, repository)
    if covered and permits(token.permissions, needs):
        return
    if repository.private and not covered:
        raise not_found()
    if repository.private or not reading:
        raise not_accessible()


def _require_person(scope: Scope, person: Person, repository: Repository, user_role: str) -> None:
    has = role(scope, person.account, repository)
    if has == "none" and repository.private:
        raise not_found()
    if user_role != "read" and ROLES.index(has) < ROLES.index(user_role):
        raise ApiError(
            403, f"Must have {'admin rights to' if user_role == 'admin' else 'push access to'} Repository."
        )
