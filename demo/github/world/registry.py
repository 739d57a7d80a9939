"""Accounts, repositories, Apps and where they are installed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.github.world.connection import Connection, Json


@dataclass(frozen=True)
class App:
    """A registered App with what GitHub shows once; `private_key` is "" if it brought its own."""

    id: int
    slug: str
    private_key: str
    webhook_secret: str
    client_id: str
    client_secret: str


class Registry(Connection):
    """What exists."""

    def organization(self, login: str, owner: str) -> Json:
        """Find or make an organization owned by a person."""
        self.user(owner)
        found: Json = self.admin("organization", login=login, owner=owner)
        return found

    def member(self, organization: str, user: str, role: str = "member") -> None:
        """Put a person into an organization as `member` or `admin`."""
        self.user(user)
        self.admin("membership", organization=organization, user=user, role=role)

    def repository(self, full_name: str, *, private: bool = False) -> Json:
        """Find or make a repository; a person who owns it is made as well."""
        owner = full_name.split("/", maxsplit=1)[0]
        if not self.api("GET", f"/users/{owner}").ok:
            self.user(owner)
        found: Json = self.admin("repository", full_name=full_name, private=private)
        return found

    def change_repository(self, full_name: str, *, user: str, **changes: Any) -> Json:
        """Set `archived`, `private`, `name`, or `owner` (a transfer); Apps hear of it."""
        found: Json = self.admin("change", full_name=full_name, user=user, **changes)
        return found

    def delete_repository(self, full_name: str, *, user: str) -> None:
        """Delete a repository; Apps hear of it."""
        self.admin("delete", full_name=full_name, user=user)

    def fork(self, full_name: str, owner: str) -> Json:
        """Find or make a person's fork."""
        self.user(owner)
        found: Json = self.admin("fork", full_name=full_name, owner=owner)
        return found

    def collaborator(self, full_name: str, user: str, role: str) -> None:
        """Give a person a role: admin, maintain, write, triage, read, or none."""
        self.user(user)
        self.admin("role", full_name=full_name, user=user, role=role)

    def app(
        self,
        name: str,
        *,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        permissions: Mapping[str, str] | None = None,
        events: Iterable[str] | None = None,
        manifest: Path | None = None,
        public_key: str | None = None,
        owner: str = "raas-host",
        callback_urls: Iterable[str] = (),
    ) -> App:
        """Register an App; permissions and events come from the arguments or from a manifest (`app.yml`)."""
        declared = yaml.safe_load(Path(manifest).read_text()) if manifest else {}
        body = {
            "name": name,
            "owner": owner,
            "webhook_url": webhook_url,
            "webhook_secret": webhook_secret,
            "permissions": dict(permissions or declared.get("default_permissions") or {}),
            "events": list(events or declared.get("default_events") or ()),
            "public_key": public_key,
            "callback_urls": list(callback_urls),
        }
        return App(**self.admin("app", **body))

    def app_webhook(self, app_id: int, url: str) -> None:
        """Send an App's webhooks elsewhere from now on."""
        self.admin("webhook", app_id=app_id, url=url)

    def ping(self, app_id: int) -> None:
        """Send an App a `ping`."""
        self.admin("ping", app_id=app_id)

    def install(self, app_id: int, *repositories: str, account: str | None = None) -> int:
        """Install an App on repositories of one owner, or with `account` on all; return the id.

        Naming further repositories later adds them to the installation.
        """
        return int(
            self.admin("install", app_id=app_id, repositories=list(repositories) or None, account=account)[
                "id"
            ]
        )

    def uninstall(self, installation_id: int, repository: str | None = None) -> None:
        """Remove an installation, or only a repository from it."""
        self.admin("uninstall", installation_id=installation_id, repository=repository)

    def suspend(self, installation_id: int) -> None:
        """Suspend an installation."""
        self.admin("suspend", installation_id=installation_id, suspended=True)

    def unsuspend(self, installation_id: int) -> None:
        """End a suspension."""
        self.admin("suspend", installation_id=installation_id, suspended=False)
