"""Registering Apps and installing them: what people do on GitHub's web pages."""

import re
import secrets
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import delete, select

from demo.github import events
from demo.github.accounts import add_account
from demo.github.errors import ApiError, invalid, not_found
from demo.github.models import (
    Account,
    App,
    Installation,
    InstallationToken,
    InstalledRepository,
    Repository,
)
from demo.github.scope import Scope, now, sha256


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

    `settings` may have webhook_url, webhook_secret, permissions, events, callback_urls, setup_url,
    external_url, public_key (PEM) and app_id.
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
        bot=add_account(scope, f"{slug}[bot]", "Bot"),
        external_url=settings.get("external_url") or f"{scope.settings.public_url}/apps/{slug}",
        public_key=public,
        client_id="Iv23li" + secrets.token_hex(7),
        client_secret_hash=sha256(client_secret),
        callback_urls=settings.get("callback_urls") or [],
        setup_url=settings.get("setup_url"),
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
