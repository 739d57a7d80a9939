"""What `raas-server doctor` looks at, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from github_app import github_health
from github_app.config import Settings
from github_app.db import Database, DatabaseError
from github_app.finding import Finding, Grade
from github_app.github import GitHub
from github_app.models import Runner
from github_app.moves import utc_now
from github_app.stores import StoreError, open_store

FREE_MIN = 1 << 30
"""Free space below which the disk is called full, bytes."""
ONLINE = timedelta(seconds=90)
"""A runner seen within this time is online: a poll lasts 50 s."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything."""
    yield _disk(settings)
    yield from _database(settings)
    yield _store(settings)
    github = GitHub(settings)
    try:
        yield from github_health.examine(settings, github)
    finally:
        github.close()
    yield _owners(settings)
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


def _owners(settings: Settings) -> Finding:
    if "*" in settings.owners:
        text = (
            "everybody who installs the App may use the robots;"
            " set RAAS_OWNERS to the logins that may, separated by commas, to let in only them"
        )
        return Finding("owners", Grade.ODD, text)
    return Finding("owners", Grade.GOOD, ", ".join(sorted(settings.owners)))


def _address(settings: Settings) -> Finding:
    if not settings.public_url.startswith("https://"):
        text = f"{settings.public_url} is not https; put a TLS proxy in front and set RAAS_PUBLIC_URL"
        return Finding("public address", Grade.ODD, text)
    return Finding("public address", Grade.GOOD, settings.public_url)
