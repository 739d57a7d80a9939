"""The routes on which files come and go.

Downloads go through `GET /jobs/ID/artifacts/NAME`, which asks who is there and then serves the file or sends
the browser to the store.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, abort, redirect, request, send_file
from flask.typing import ResponseReturnValue

from github_app import answers, policy, services, verification
from github_app.answers import ApiError
from github_app.artifacts import blob_of, delivery_of, listing
from github_app.models import Job
from github_app.stores import Blob, FileStore, UploadRefusedError

PIECE = 1 << 16

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
        row = next((row for row in listing(session, job) if row.name == name), None)
        private = job.repository.private
    if row is None or not verification.serves(here, row):
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
