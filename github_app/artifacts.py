"""The files a job left behind: offered, uploaded and confirmed by its runner, listed for people.

Content made by users is never rendered as a page of ours: only a few harmless types are shown in the browser,
everything else is saved. `transfers` has the routes.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app.answers import ApiError
from github_app.config import Settings
from github_app.models import Artifact, Job
from github_app.stores import Blob, Delivery, job_prefix
from github_app.user_text import plain
from runner.protocol import ArtifactOffer

USERS_FOLDER = "artifacts/"
"""Begins the names of what a program left; the runner sees to it."""

SHOWN = frozenset(
    {
        "application/json",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/plain",
        "video/mp4",
        "video/webm",
    }
)
"""Types a browser may show; no HTML, SVG or XML: those carry scripts."""


def offer(session: Session, job: Job, files: Sequence[ArtifactOffer], settings: Settings) -> list[Artifact]:
    """Make room for files of the job's current attempt. Repeats give the same rows.

    Raises:
        ApiError: Two files of one name (422), another file of that name is stored (409), or too many or
            too much (422).
    """
    if len({file.name for file in files}) != len(files):
        raise ApiError(422, "duplicate_name", "two files have the same name; rename one")
    known = {artifact.name: artifact for artifact in _of_attempt(session, job)}
    rows = []
    for file in files:
        row = known.get(file.name)
        if row is None:
            row = known[file.name] = Artifact(job_id=job.id, attempt=job.attempt, name=file.name)
            session.add(row)
        elif row.stored_at is not None and (row.size, row.sha256) != (file.size, file.sha256):
            raise ApiError(409, "name_taken", f"another file named {file.name} is stored; rename this one")
        row.size, row.sha256 = file.size, file.sha256
        rows.append(row)
    if len(known) > settings.artifact_count_max:
        raise ApiError(422, "too_many", f"a job may leave {settings.artifact_count_max} files; pack them")
    if sum(artifact.size for artifact in known.values()) > settings.artifact_bytes_max:
        raise ApiError(
            422, "too_large", f"a job may leave {settings.artifact_bytes_max} bytes; leave out some"
        )
    session.flush()
    return rows


def find(session: Session, job: Job, artifact_id: int) -> Artifact:
    """A row of the job's current attempt.

    Raises:
        ApiError: There is none (404).
    """
    row = session.get(Artifact, artifact_id)
    if row is None or row.job_id != job.id or row.attempt != job.attempt:
        raise ApiError(404, "no_such_artifact", f"job {job.id} has no artifact {artifact_id}; offer it first")
    return row


def mark_begun(row: Artifact, begun: Blob) -> None:
    """Remember where it is uploaded to, unless a file of that name is stored meanwhile."""
    if row.stored_at is None:
        row.place, row.ticket = begun.key, begun.ticket


def mark_stored(row: Artifact, offered: Blob, now: datetime) -> None:
    """Make it visible, if it is still the file that was confirmed. Repeats change nothing.

    Args:
        row: Of the file.
        offered: What the runner was told to upload.
        now: The time.

    Raises:
        ApiError: Meanwhile another file was offered under the name (409).
    """
    if row.stored_at is not None:
        return
    if blob_of(row) != offered:
        raise ApiError(409, "changed", f"another file was offered as {row.name}; upload that one")
    row.stored_at = now


def mark_verified(row: Artifact, stored: Blob, head: bytes | None, now: datetime) -> None:
    """Let it be served, if it is still the file that was looked at. Repeats change nothing.

    Args:
        row: Of the file.
        stored: What was looked at.
        head: Its first bytes, if a page can show them.
        now: The time.
    """
    if row.stored_at is not None and row.verified_at is None and blob_of(row) == stored:
        row.verified_at, row.head = now, head


def give_up(row: Artifact, stored: Blob) -> None:
    """Its content is not what was offered: it is as if it had never come."""
    if blob_of(row) == stored:
        row.stored_at = row.place = row.ticket = None


def listing(session: Session, job: Job) -> list[Artifact]:
    """The stored files of the latest attempt, by name; none once they were given up (`retention`).

    What the robot's host recorded comes before the program's own, of which there may be many.
    """
    if job.files_removed_at is not None:
        return []
    stored = [row for row in _of_attempt(session, job) if row.stored_at is not None]
    return sorted(stored, key=lambda row: row.name.startswith(USERS_FOLDER))


def fresh(row: Artifact) -> Blob:
    """The row's file before its upload. The digest names it: another file never overwrites this one."""
    return Blob(f"{job_prefix(row.job_id)}{row.id}-{row.sha256}", row.size, row.sha256)


def blob_of(row: Artifact) -> Blob:
    """The row's file in the store."""
    # Files of the first releases have no place of their own in their rows.
    key = row.place or f"{job_prefix(row.job_id)}{row.id}-{row.sha256[:16]}"
    return Blob(key, row.size, row.sha256, row.ticket)


def url_of(settings: Settings, row: Artifact) -> str:
    """The stable address of a stored file; it checks who asks."""
    return f"{settings.public_url}/jobs/{row.job_id}/artifacts/{quote(row.name)}"


def delivery_of(name: str) -> Delivery:
    """How a browser shall treat a file of this name."""
    guessed, packed = mimetypes.guess_type(name, strict=False)
    shown = packed is None and guessed in SHOWN
    content_type = guessed if shown and guessed else "application/octet-stream"
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    file_name = plain(name.rpartition("/")[2])  # a name that runs backwards hides what kind of file it is
    simple = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in file_name)
    way = "inline" if shown else "attachment"
    return Delivery(
        content_type, f"{way}; filename=\"{simple}\"; filename*=UTF-8''{quote(file_name, safe='')}"
    )


def _of_attempt(session: Session, job: Job) -> list[Artifact]:
    rows = select(Artifact).where(Artifact.job_id == job.id, Artifact.attempt == job.attempt)
    return list(session.scalars(rows.order_by(Artifact.name)))
