"""The routes on which files come and go.

Downloads go through `GET /jobs/ID/artifacts/NAME`, which asks who is there and then serves the file or sends
the browser to the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from flask import Blueprint, Response, abort, redirect, request, send_file
from flask.typing import ResponseReturnValue

from github_app import answers, policy, services, verification
from github_app.answers import ApiError
from github_app.artifacts import blob_of, delivery_of, listing
from github_app.models import Job
from github_app.stores import Blob, Delivery, FileStore, UploadRefusedError
from github_app.user_text import plain

PIECE = 1 << 16
LOG = "log.txt"
"""The runner's copy of the log. It is raw: what is shown of it goes the way of all logs."""
LINE_MAX = 1 << 20
"""A longer line [bytes] is looked at in parts."""

blueprint = Blueprint("artifacts", __name__)
uploads = Blueprint("uploads", __name__)


@blueprint.get("/jobs/<int:job_id>/artifacts/<path:name>")
def download(job_id: int, name: str) -> ResponseReturnValue:
    """One file, to whoever may see the job."""
    here = services.current()
    with here.db.read() as session:
        job = session.get(Job, job_id)
        if job is None or not policy.visible(job, policy.viewer()):
            abort(404)
        if job.files_removed_at is not None:
            abort(410)
        row = next((row for row in listing(session, job) if row.name == name), None)
        private = job.repository.private
    if row is None or not verification.serves(here, row):
        abort(404)
    blob, delivery = blob_of(row), delivery_of(name)
    if name == LOG:
        raw = _begun(here.store.pieces(blob))
        text = (plain(piece.decode(errors="replace")).encode() for piece in _lines(raw))
        return Response(text, headers=_shown(delivery, private))
    path = here.store.local_path(blob)
    if path is None:
        response: Response = redirect(here.store.address(blob, delivery))  # type: ignore[assignment]
        response.headers["Cache-Control"] = "no-store"
        return response
    response = send_file(path, mimetype=delivery.content_type, conditional=True, etag=row.sha256)
    response.headers.update(_shown(delivery, private))
    return response


def _shown(delivery: Delivery, private: bool) -> dict[str, str]:
    return {
        "Content-Type": delivery.content_type,
        "Content-Disposition": delivery.disposition,
        "Cache-Control": "private, no-store" if private else "no-cache",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same, its first piece at hand: of a store that is away an answer can tell only before it begins."""
    return chain([next(pieces, b"")], pieces)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same in pieces that end with a line: a secret is never cut in two, unless its line is endless."""
    rest = b""
    for piece in pieces:
        whole, feed, rest = (rest + piece).rpartition(b"\n")
        if len(rest) > LINE_MAX:
            whole, feed, rest = whole + feed + rest, b"", b""
        yield whole + feed
    yield rest


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
