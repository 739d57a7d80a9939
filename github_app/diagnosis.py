"""What `raas-server doctor` looks at, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from github_app.config import Settings
from github_app.db import Database, DatabaseError
from github_app.models import Runner
from github_app.moves import utc_now
from github_app.stores import StoreError, open_store

FREE_MIN = 1 << 30
"""Free space below which the disk is called full, bytes."""
ONLINE = timedelta(seconds=90)
"""A runner seen within this time is online: a poll lasts 50 s."""


class Grade(Enum):
    """How a finding is meant: `BAD` keeps the server from working."""

    GOOD = "ok"
    ODD = "warning"
    BAD = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: about what, how bad, and a sentence."""

    subject: str
    grade: Grade
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything."""
    yield _disk(settings)
    yield from _database(settings)
    yield _store(settings)
    yield from _github(settings)
    yield _address(settings)


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.data_dir).free
    if free < FREE_MIN:
        text = f"{settings.data_dir} has {free >> 20} MB left; make room"
        return Finding("data directory", Grade.BAD, text)
    return Finding("data directory", Grade.GOOD, f"{settings.data_dir}, {free >> 30} GB free")


def _database(settings: Settings) -> Iterator[Finding]:
    database = Database(settings.database_url)
    try:
        current, wanted = database.revisions()
        if current != wanted:
            text = f"at revision {current or 'none'}, wanted {wanted}; run `raas-server upgrade`"
            yield Finding("database", Grade.BAD, text)
            return
        yield Finding("database", Grade.GOOD, "SQLite" if database.is_sqlite else "PostgreSQL")
        with database.read() as session:
            runners = list(session.scalars(select(Runner).where(Runner.token_hash.is_not(None))))
        yield _runners(runners)
    except (SQLAlchemyError, DatabaseError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        yield Finding("database", Grade.BAD, f"does not answer ({reason}); check RAAS_DATABASE_URL")
    finally:
        database.close()


def _runners(runners: list[Runner]) -> Finding:
    if not runners:
        text = "none is registered; `raas-server runner add NAME --labels pendulum` makes a token"
        return Finding("runners", Grade.ODD, text)
    now = utc_now()
    online = [runner.name for runner in runners if runner.seen_at and now - runner.seen_at < ONLINE]
    if not online:
        return Finding("runners", Grade.ODD, f"none of {len(runners)} is online; look at their hosts")
    return Finding("runners", Grade.GOOD, f"online: {', '.join(sorted(online))}")


def _store(settings: Settings) -> Finding:
    try:
        return Finding("artifacts", Grade.GOOD, open_store(settings).check())
    except StoreError as error:
        return Finding("artifacts", Grade.BAD, str(error))


def _github(settings: Settings) -> Iterator[Finding]:
    needed = {
        "RAAS_GITHUB_APP_ID": settings.github_app_id,
        "RAAS_GITHUB_PRIVATE_KEY": settings.github_private_key,
        "RAAS_GITHUB_WEBHOOK_SECRET": settings.github_webhook_secret,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        text = f"{', '.join(missing)} not set; take the values from the App's page on GitHub"
        yield Finding("GitHub App", Grade.BAD, text)
    elif not _key_usable(settings):
        text = "RAAS_GITHUB_PRIVATE_KEY is no usable RSA key; make a new one on the App's page"
        yield Finding("GitHub App", Grade.BAD, text)
    else:
        yield Finding("GitHub App", Grade.GOOD, f"{settings.github_app_id} at {settings.github_api_url}")
    yield _owners(settings)


def _owners(settings: Settings) -> Finding:
    if "*" in settings.owners:
        text = (
            "everybody who installs the App may use the robots;"
            " set RAAS_OWNERS to the logins that may, separated by commas, to let in only them"
        )
        return Finding("owners", Grade.ODD, text)
    return Finding("owners", Grade.GOOD, ", ".join(sorted(settings.owners)))


def _key_usable(settings: Settings) -> bool:
    if settings.github_private_key is None:
        return False
    try:
        load_pem_private_key(settings.github_private_key.reveal().encode(), password=None)
    except (ValueError, TypeError):
        return False
    return True


def _address(settings: Settings) -> Finding:
    if not settings.public_url.startswith("https://"):
        text = f"{settings.public_url} is not https; put a TLS proxy in front and set RAAS_PUBLIC_URL"
        return Finding("public address", Grade.ODD, text)
    return Finding("public address", Grade.GOOD, settings.public_url)
