"""The GitHub App's credentials: from the settings, or from the file that `/setup` writes.

The settings win as a whole: as soon as one of the five is set, the file is not read, because an id of one App
with the key of another would fail in ways nobody understands. The file lies in the data directory with mode
0600, is replaced in one move, and is looked at again whenever it has changed: every process of this host
uses a new App from its next request on, without a restart.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from github_app.parsers import Secret

FILE_NAME = "github-app.json"

_Stamp = tuple[int, int, int]


class CredentialsError(Exception):
    """The credentials cannot be read or kept; the message is one sentence and says what to do."""


@dataclass(frozen=True)
class AppCredentials:
    """What identifies the App; any part may be missing in the settings, none in the file.

    Attributes:
        html_url: The App's page at GitHub, where the file knows it.
    """

    app_id: int | None = None
    private_key: Secret | None = None
    webhook_secret: Secret | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    html_url: str | None = None

    @property
    def any(self) -> bool:
        """Whether anything at all is known."""
        return self != AppCredentials()


class _Stored(BaseModel):
    app_id: int
    private_key: str
    webhook_secret: str
    client_id: str
    client_secret: str
    html_url: str


class Credentials:
    """The credentials in force. Safe for threads and greenlets.

    Args:
        given: Those of the settings.
        folder: The data directory.
    """

    def __init__(self, given: AppCredentials, folder: Path) -> None:
        self.given = given
        self.path = folder / FILE_NAME
        self._known: tuple[_Stamp | None, AppCredentials] = (None, AppCredentials())

    @property
    def from_settings(self) -> bool:
        """Whether the settings have any; then the file does not count."""
        return self.given.any

    def current(self) -> AppCredentials:
        """What counts now; empty where there is no App yet.

        Raises:
            CredentialsError: The file cannot be read or is damaged.
        """
        if self.given.any:
            return self.given
        stamp = self._stamp()
        if stamp is None:
            return AppCredentials()
        if self._known[0] != stamp:
            self._known = (stamp, self._read())
        return self._known[1]

    def save(self, found: AppCredentials) -> None:
        """Keep an App's credentials; from now on they are in force.

        Raises:
            CredentialsError: The settings have credentials of their own, or the file cannot be written.
        """
        if self.given.any:
            raise CredentialsError("the settings name an App already; remove RAAS_GITHUB_… from them first")
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(_plain(found), file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise CredentialsError(
                f"{self.path} cannot be written ({error.strerror}); make room or correct its owner"
            ) from error

    def _stamp(self) -> _Stamp | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> AppCredentials:
        try:
            stored = _Stored.model_validate_json(self.path.read_bytes())
        except OSError as error:
            raise CredentialsError(
                f"{self.path} cannot be read ({error.strerror}); correct its owner"
            ) from error
        except ValidationError:  # its words would hold the secrets
            raise CredentialsError(
                f"{self.path} is damaged; put a copy back, or `raas-server setup --again`"
            ) from None
        return AppCredentials(
            app_id=stored.app_id,
            private_key=Secret(stored.private_key),
            webhook_secret=Secret(stored.webhook_secret),
            client_id=stored.client_id,
            client_secret=Secret(stored.client_secret),
            html_url=stored.html_url,
        )


def _plain(found: AppCredentials) -> dict[str, object]:
    values = {name: getattr(found, name) for name in _Stored.model_fields}
    return {name: it.reveal() if isinstance(it, Secret) else it for name, it in values.items()}
