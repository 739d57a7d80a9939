"""One unit of work: a database transaction with the repositories and the settings beside it."""

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from demo.github.git_store import GitStore
from demo.github.models import Account, Repository
from demo.github.settings import Settings


@dataclass
class Scope:
    """What every part of the stand-in works on; lives as long as one transaction."""

    session: Session
    settings: Settings
    store: GitStore

    def account(self, login: str) -> Account | None:
        """Find an account by its login; case does not matter, as on GitHub."""
        return self.session.scalar(select(Account).where(func.lower(Account.login) == login.lower()))

    def repository(self, owner: str, name: str) -> Repository | None:
        """Find a repository by owner and name; case does not matter."""
        name = name.removesuffix(".git")
        query = select(Repository).join(Repository.owner)
        return self.session.scalar(
            query.where(
                func.lower(Account.login) == owner.lower(), func.lower(Repository.name) == name.lower()
            )
        )


def now() -> int:
    """Return the time in whole seconds since the epoch."""
    return int(time.time())


def iso(seconds: int) -> str:
    """Write a time as GitHub does: 2026-01-31T12:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def maybe_iso(seconds: int | None) -> str | None:
    """Write a time that may be missing."""
    return None if seconds is None else iso(seconds)


def sha256(secret: str) -> str:
    """Return what is stored of a secret that is shown once."""
    return hashlib.sha256(secret.encode()).hexdigest()
