"""Backup and restore of everything a server keeps: database, local artifacts, keys.

A backup is a directory. It may be made while servers run: the database is copied as it is at one moment, and
artifacts after it, which never change once they are there, so the copy has every file the database names.
Into the same directory again only what is new is copied. What lies in an S3 stays there: back up the bucket.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from github_app import credentials, numbering
from github_app.config import SECRET_KEY_FILE, Settings
from github_app.db import Database, DatabaseError, lock_data_dir
from github_app.moves import utc_now
from raas_gym.version import __version__

MANIFEST = "backup.json"
SQLITE_COPY = "raas.sqlite3"
POSTGRESQL_COPY = "raas.pgdump"
ARTIFACTS = "artifacts"
KEYS = (SECRET_KEY_FILE, credentials.FILE_NAME)


class BackupError(Exception):
    """It could not be made or put back; the message is one sentence and says what to do."""


def make(settings: Settings, target: Path) -> list[str]:
    """Copy everything into `target`, a new directory or an earlier backup of the same server.

    Returns:
        What was done, a sentence each.

    Raises:
        BackupError: Something could not be copied; an earlier backup there may be half replaced, and is
            marked as not whole.
    """
    with _telling(f"cannot write to {target}"):
        _prepare(target)
        database = Database(settings.database_url)
        try:
            revision, _ = database.revisions()
        finally:
            database.close()
        if revision is None:
            raise BackupError("the database is empty; there is nothing to back up yet")
        done = [_copy_database(settings, target)]
        if settings.artifacts == "file":
            new, kept = _copy_files(settings.data_dir / ARTIFACTS, target / ARTIFACTS)
            done.append(f"artifacts: {new} new, {kept} were there")
        else:
            done.append(f"artifacts stay in {settings.artifacts}; back up the bucket")
        done.append(_copy_keys(settings.data_dir, target))
        manifest = {
            "made_at": utc_now().isoformat(timespec="seconds"),
            "software": __version__,
            "revision": revision,
            "database": "sqlite" if settings.is_sqlite else "postgresql",
        }
        _write_whole(target / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return done


def restore(settings: Settings, source: Path, first_job: int | None = None) -> list[str]:
    """Put a backup back into an empty data directory and, where it is one, an empty PostgreSQL database.

    Args:
        settings: Those of the server to be.
        source: The backup.
        first_job: The least number of the next job (`numbering.leave_gap`).

    Returns:
        What was done, a sentence each.

    Raises:
        BackupError: It is no whole backup, of another kind of database, or something is there already.
    """
    manifest = _manifest(source)
    artifacts = settings.data_dir / ARTIFACTS
    if artifacts.is_dir() and any(artifacts.iterdir()):
        raise BackupError(f"{artifacts} holds files already; restore into an empty RAAS_DATA_DIR")
    kind = "sqlite" if settings.is_sqlite else "postgresql"
    if manifest.get("database") != kind:
        raise BackupError(
            f"the backup holds a {manifest.get('database')} database and RAAS_DATABASE_URL names {kind};"
            " restore into the same kind"
        )
    with _telling(f"cannot write to {settings.data_dir}"):
        if settings.is_sqlite:
            done = [_restore_sqlite(settings, source)]
        else:
            done = [_restore_postgresql(settings, source)]
        if settings.artifacts == "file" and (source / ARTIFACTS).is_dir():
            new, _ = _copy_files(source / ARTIFACTS, artifacts)
            done.append(f"artifacts: {new}")
        done.append(_copy_keys(source, settings.data_dir))
        done.append(_number_on(settings, first_job))
    return done


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"{what} ({error}); look at the directory's owner and free space") from error
    except sqlite3.Error as error:
        raise BackupError(f"{what} ({error}); look at its free space") from error
    except DatabaseError as error:
        raise BackupError(str(error)) from error


def _prepare(target: Path) -> None:
    """Make the directory; one that holds something else is refused."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {path.name for path in target.iterdir()}
    ours = {MANIFEST, SQLITE_COPY, POSTGRESQL_COPY, ARTIFACTS, *KEYS}
    if names - ours:
        raise BackupError(f"{target} holds other things ({min(names - ours)}); name a directory for backups")
    (target / MANIFEST).unlink(missing_ok=True)  # whole again at the end only


def _copy_database(settings: Settings, target: Path) -> str:
    if not settings.is_sqlite:
        partial = target / f"{POSTGRESQL_COPY}.partial"
        _postgresql("pg_dump", settings, "--format=custom", f"--file={partial}")
        partial.chmod(0o600)
        partial.replace(target / POSTGRESQL_COPY)
        return f"PostgreSQL: {(target / POSTGRESQL_COPY).stat().st_size} bytes"
    partial = target / f"{SQLITE_COPY}.partial"
    partial.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(f"file:{_sqlite_path(settings)}?mode=ro", uri=True)) as live,
        contextlib.closing(sqlite3.connect(partial)) as copy,
    ):
        live.backup(copy)  # all pages in one go: a moment's picture, whoever writes meanwhile
    partial.chmod(0o600)
    partial.replace(target / SQLITE_COPY)
    return f"SQLite: {(target / SQLITE_COPY).stat().st_size} bytes"


def _restore_sqlite(settings: Settings, source: Path) -> str:
    place = _sqlite_path(settings)
    if place.exists():
        raise BackupError(f"{place} is there already; restore into an empty RAAS_DATA_DIR")
    with lock_data_dir(settings.data_dir):
        partial = place.with_name(f"{place.name}.partial")
        shutil.copyfile(source / SQLITE_COPY, partial)
        partial.chmod(0o600)
        partial.replace(place)
    return f"SQLite: {place.stat().st_size} bytes"


def _restore_postgresql(settings: Settings, source: Path) -> str:
    database = Database(settings.database_url)
    try:
        there, _ = database.revisions()
    finally:
        database.close()
    if there is not None:
        raise BackupError("the database has tables already; restore into an empty one (`createdb`)")
    _postgresql("pg_restore", settings, "--no-owner", "--exit-on-error", str(source / POSTGRESQL_COPY))
    return f"PostgreSQL: {(source / POSTGRESQL_COPY).stat().st_size} bytes read"


def _number_on(settings: Settings, first_job: int | None) -> str:
    database = Database(settings.database_url)
    try:
        with database.write() as session:
            first = numbering.leave_gap(session, first_job)
    finally:
        database.close()
    return f"jobs: the next is number {first}, so that none given since the backup is given again"


def _postgresql(program: str, settings: Settings, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; the password goes by the environment, not by the command line."""
    url = make_url(settings.database_url).set(drivername="postgresql")
    environment = dict(os.environ)
    if url.password is not None:
        environment["PGPASSWORD"] = str(url.password)
    dsn = url.set(password=None).render_as_string()
    try:
        done = subprocess.run(
            [program, *arguments, f"--dbname={dsn}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise BackupError(
            f"{program} is missing; install postgresql-client of the server's version"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BackupError(f"{program} failed: {reason}")


def _sqlite_path(settings: Settings) -> Path:
    return Path(str(make_url(settings.database_url).database))


def _copy_files(source: Path, target: Path) -> tuple[int, int]:
    """Copy what is not there yet, remove what the source no longer has; how many are new, and were there."""
    wanted: set[Path] = set()
    new = kept = 0
    for path in source.rglob("*") if source.is_dir() else ():
        if not path.is_file() or path.name.endswith(".partial"):
            continue
        there = target / path.relative_to(source)
        wanted.add(there)
        if there.is_file() and there.stat().st_size == path.stat().st_size:
            kept += 1
            continue
        there.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = there.with_name(f"{there.name}.partial")
        try:
            shutil.copyfile(path, partial)
        except FileNotFoundError:  # given up meanwhile (`retention`)
            partial.unlink(missing_ok=True)
            continue
        partial.replace(there)
        new += 1
    for path in target.rglob("*") if target.is_dir() else ():
        if path.is_file() and path not in wanted:
            path.unlink()
    return new, kept


def _copy_keys(source: Path, target: Path) -> str:
    copied = []
    for name in KEYS:
        if (source / name).is_file():
            _write_whole(target / name, (source / name).read_text("utf-8"))
            copied.append(name)
    return f"keys: {', '.join(copied)}" if copied else "keys: none in the data directory; keep your settings"


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _manifest(source: Path) -> dict[str, Any]:
    try:
        found = json.loads((source / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise BackupError(
            f"{source} holds no {MANIFEST}: it is no backup, or one that was not finished; name another"
        ) from None
    except (OSError, ValueError) as error:
        raise BackupError(f"cannot read {source / MANIFEST} ({error}); name another backup") from error
    return found if isinstance(found, dict) else {}
