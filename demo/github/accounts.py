"""Making accounts, repositories, Apps and installations: what people do on GitHub's web pages."""

import re
import secrets
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import delete, select

from demo.github import events
from demo.github.errors import ApiError, invalid, not_found
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
from demo.github.scope import Scope, now, sha256

# These begin the stand-in's own addresses, or the API's when it has no prefix.
RESERVED = {
    "admin", "api", "app", "app-manifests", "applications", "apps", "codeload", "installation", "login",
    "meta", "organizations", "orgs", "rate_limit", "repos", "settings", "user", "users", "zen",
}  # fmt: skip

_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}")


def ensure_account(scope: Scope, login: str, kind: str = "User") -> Account:
    """Find or make a person or an organization."""
    row = scope.account(login)
    if row is not None:
        if row.kind != kind:
            raise invalid(f"{login} exists and is not of the kind {kind}.")
        return row
    if not _LOGIN.fullmatch(login) or login.lower() in RESERVED:
        raise invalid(f"{login!r} cannot be a login: use letters, digits and single hyphens, at most 39.")
    return _add_account(scope, login, kind)


def _add_account(scope: Scope, login: str, kind: str) -> Account:
    row = Account(login=login, kind=kind, created_at=now())
    scope.session.add(row)
    scope.session.flush()
    return row


def set_membership(scope: Scope, organization: Account, user: Account, role: str) -> None:
    """Put a person into an organization as `admin` (owner) or `member`."""
    if role not in ("admin", "member") or organization.kind != "Organization":
        raise invalid("An organization's members are of the role admin or member.")
    row = Membership(organization_id=organization.id, user_id=user.id, role=role)
    scope.session.merge(row)


def ensure_repository(scope: Scope, full_name: str, *, private: bool = False) -> Repository:
    """Find or make a repository, empty at first."""
    owner_login, _, name = full_name.partition("/")
    found = scope.repository(owner_login, name)
    if found is not None:
        return found
    owner = scope.account(owner_login)
    if owner is None:
        raise not_found()
    row = _add_repository(scope, owner, name, private=private, parent=None)
    scope.store.create(row.id, row.default_branch)
    return row


def _add_repository(
    scope: Scope, owner: Account, name: str, *, private: bool, parent: Repository | None
) -> Repository:
    if not _REPOSITORY.fullmatch(name) or name in (".", "..") or name.endswith(".git"):
        raise invalid(
            f"{name!r} cannot be a repository's name: use letters, digits, '.', '_' and '-', at most 100."
        )
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
    row = _add_repository(scope, owner, parent.name, private=parent.private, parent=parent)
    scope.store.fork(parent.id, row.id)
    return row


def set_role(scope: Scope, repository: Repository, user: Account, role: str) -> None:
    """Give a person a role on a repository; "none" takes it away."""
    if role not in ROLES:
        raise invalid(f"{role!r} is not a role; use one of {', '.join(ROLES)}.")
    if role == "none":
        key = (Collaborator.repository_id == repository.id, Collaborator.user_id == user.id)
        scope.session.execute(delete(Collaborator).where(*key))
    else:
        scope.session.merge(Collaborator(repository_id=repository.id, user_id=user.id, role=role))


def new_key_pair() -> tuple[str, str]:
    """Return a private and a public RSA key as PEM, the private one in GitHub's PKCS#1 form."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def create_app(
    scope: Scope, owner: Account, name: str, settings: dict[str, Any]
) -> tuple[App, str | None, str]:
    """Register an App; return it with its private key (None when a public key was given) and client secret.

    `settings` may have webhook_url, webhook_secret, permissions, events, callback_urls, external_url,
    public_key (PEM) and app_id.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug or scope.session.scalar(select(App).where(App.slug == slug)) is not None:
        raise invalid(f"An App cannot be called {name!r}: the name is empty or taken.")
    private, public = (None, settings["public_key"]) if settings.get("public_key") else new_key_pair()
    client_secret = secrets.token_hex(20)
    app = App(
        id=settings.get("app_id"),
        slug=slug,
        name=name,
        owner=owner,
        bot=_add_account(scope, f"{slug}[bot]", "Bot"),
        external_url=settings.get("external_url") or f"{scope.settings.public_url}/apps/{slug}",
        public_key=public,
        client_id="Iv23li" + secrets.token_hex(7),
        client_secret_hash=sha256(client_secret),
        callback_urls=settings.get("callback_urls") or [],
        webhook_url=settings.get("webhook_url"),
        webhook_secret=settings.get("webhook_secret"),
        permissions={"metadata": "read", **(settings.get("permissions") or {})},
        events=settings.get("events") or [],
        created_at=now(),
        updated_at=now(),
    )
    scope.session.add(app)
    scope.session.flush()
    events.ping(scope, app)
    return app, private, client_secret


def find_app(scope: Scope, app_id: int) -> App:
    """Return an App by its id."""
    app = scope.session.get(App, app_id)
    if app is None:
        raise not_found()
    return app


def install(scope: Scope, app: App, account: Account, chosen: list[Repository] | None) -> Installation:
    """Install an App on an account: on chosen repositories, or (None) on all; or add to what it has."""
    query = select(Installation).where(Installation.app_id == app.id, Installation.account_id == account.id)
    row = scope.session.scalar(query)
    if row is not None:
        _add_to_installation(scope, row, chosen or [])
        return row
    row = Installation(app=app, account=account, selection="all" if chosen is None else "selected")
    row.permissions, row.events = dict(app.permissions), list(app.events)
    row.created_at = row.updated_at = now()
    scope.session.add(row)
    scope.session.flush()
    for repository in chosen or []:
        scope.session.add(InstalledRepository(installation_id=row.id, repository_id=repository.id))
    scope.session.flush()
    events.installation(scope, row, account, "created")
    return row


def _add_to_installation(scope: Scope, row: Installation, chosen: list[Repository]) -> None:
    added = []
    for repository in chosen:
        key = (row.id, repository.id)
        if row.selection == "selected" and scope.session.get(InstalledRepository, key) is None:
            scope.session.add(InstalledRepository(installation_id=row.id, repository_id=repository.id))
            added.append(repository)
    if added:
        scope.session.flush()
        events.installation_repositories(scope, row, row.account, added, [])


def remove_from_installation(scope: Scope, row: Installation, repository: Repository) -> None:
    """Take a chosen repository out of an installation."""
    chosen = scope.session.get(InstalledRepository, (row.id, repository.id))
    if chosen is None:
        raise ApiError(404, f"{repository.full_name} is not among the installation's chosen repositories.")
    scope.session.delete(chosen)
    scope.session.flush()
    events.installation_repositories(scope, row, row.account, [], [repository])


def find_installation(scope: Scope, installation_id: int) -> Installation:
    """Return an installation by its id."""
    row = scope.session.get(Installation, installation_id)
    if row is None:
        raise not_found()
    return row


def uninstall(scope: Scope, row: Installation) -> None:
    """Remove an installation; its tokens are void."""
    events.installation(scope, row, row.account, "deleted")
    for table in (InstalledRepository, InstallationToken):
        scope.session.execute(delete(table).where(table.installation_id == row.id))
    scope.session.delete(row)


def set_suspended(scope: Scope, row: Installation, suspended: bool) -> None:
    """Suspend an installation or end that."""
    row.suspended_at = now() if suspended else None
    row.updated_at = now()
    events.installation(scope, row, row.account, "suspend" if suspended else "unsuspend")
