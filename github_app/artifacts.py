"""The files a job left behind: offered, uploaded, confirmed by its runner; listed and downloaded by people.

Downloads go through `GET /jobs/ID/artifacts/NAME`, which asks who is there and then serves the file or sends
the browser to the store. Content made by users is never rendered as a page of ours: only a few harmless types
are shown in the browser, everything else is saved.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from flask import Blueprint, Response, abort, redirect, request, send_file
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import answers, policy, services
from github_app.answers import ApiError
from github_app.config import Settings
from github_app.models import Artifact, Job
from github_app.stores import Blob, Delivery, FileStore, UploadRefusedError, job_prefix
from github_app.user_text import plain
from runner.protocol import ArtifactOffer

PIECE = 1 << 16
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

blueprint = Blueprint("artifacts", __name__)
uploads = Blueprint("uploads", __name__)


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


def mark_stored(row: Artifact, offered: Blob, kept: Blob, head: bytes | None, now: datetime) -> None:
    """Make it visible, if it is still the file that was confirmed. Repeats change nothing.

    Args:
        row: Of the file.
        offered: What the runner was told to upload.
        kept: The same after it was confirmed.
        head: Its first bytes, if a page can show them.
        now: The time.

    Raises:
        ApiError: Meanwhile another file was offered under the name (409).
    """
    if row.stored_at is not None:
        return
    if blob_of(row) != offered:
        raise ApiError(409, "changed", f"another file was offered as {row.name}; upload that one")
    row.stored_at = now
    row.place = kept.key if kept != offered else None
    row.head = head


def listing(session: Session, job: Job) -> list[Artifact]:
    """The stored files of the latest attempt, by name; none once they were given up (`retention`).

    What the robot's host recorded comes before the program's own, of which there may be many.
    """
    if job.files_removed_at is not None:
        return []
    stored = [row for row in _of_attempt(session, job) if row.stored_at is not None]
    return sorted(stored, key=lambda row: row.name.startswith(USERS_FOLDER))


def blob_of(row: Artifact) -> Blob:
    """The row's place in the store. The digest is part of it: another file never overwrites this one."""
    key = row.place or f"{job_prefix(row.job_id)}{row.id}-{row.sha256[:16]}"
    return Blob(key, row.size, row.sha256)


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


@blueprint.get("/jobs/<int:job_id>/artifacts/<path:name>")
def download(job_id: int, name: str) -> ResponseReturnValue:
    """One file, to whoever may see the job."""
    here = services.current()
    with here.db.read() as session:
        job = session.get(Job, job_id)
        if job is None or not policy.visible(job, policy.viewer()):
            abort(404)
        row = next((row for row in listing(session, job) if row.name == name), None)
        private = job.repository.private
    if row is None:
        abort(404)
    blob, delivery = blob_of(row), delivery_of(name)
    path = here.store.local_path(blob)
    if path is None:
        response: Response = redirect(here.store.address(blob, delivery))  # type: ignore[assignment]
        response.headers["Cache-Control"] = "no-store"
        return response
    response = send_file(path, mimetype=delivery.content_type, conditional=True, etag=row.sha256)
    response.headers["Content-Type"] = delivery.content_type
    response.headers["Content-Disposition"] = delivery.disposition
    response.headers["Cache-Control"] = "private, no-store" if private else "no-cache"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@uploads.put("/uploads/<path:key>")
def upload(key: str) -> ResponseReturnValue:
    """Receive a file at an address that `FileStore.upload` signed."""
    store = services.current().store
    if not isinstance(store, FileStore):
        abort(404)
    try:
        size, expires = int(request.args["size"]), int(request.args["expires"])
        blob, signature = Blob(key, size, request.args["sha256"]), request.args["signature"]
    except (KeyError, ValueError):
        raise ApiError(403, "forbidden", "the address is not whole; use it exactly as it was given") from None
    try:
        store.permit(blob, expires, signature)
    except UploadRefusedError as error:
        raise ApiError(403, "forbidden", str(error)) from error
    request.max_content_length = size + 1
    store.receive(blob, _pieces())
    return answers.nothing()


def _pieces() -> Iterator[bytes]:
    while piece := request.stream.read(PIECE):
        yield piece
