"""`GET /jobs/ID/plot.svg`: the picture of a job's first session (`plots` draws it).

The address is stable and asks who is there, as all pages do, so that a check run of a public repository can
show the picture through GitHub's image proxy; a private one's is only linked.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

import httpx
from flask import Blueprint, Response, abort
from flask.typing import ResponseReturnValue

from github_app import artifacts, policy, services
from github_app.models import Artifact, Job
from github_app.plots import NAMES, PLOT, svg
from github_app.stores import Blob, Delivery, Store
from raas_gym.trajectory import Trajectory, TrajectoryError, load

FILE_MAX = 16 << 20
UNPACKED_MAX = 128 << 20
"""Longest recording drawn, bytes, packed and unpacked."""
FETCH_S = 10.0

blueprint = Blueprint("plots", __name__)


@blueprint.get(f"/jobs/<int:job_id>/{PLOT}")
def plot(job_id: int) -> ResponseReturnValue:
    """The picture; a hidden job is not there."""
    here = services.current()
    with here.db.read() as session:
        job = session.get(Job, job_id)
        if job is None or not policy.visible(job, policy.viewer()):
            abort(404)
        row = next((one for one in artifacts.listing(session, job) if one.name in NAMES), None)
        private = job.repository.private
    if row is None:
        abort(404)
    try:
        drawn = svg(recording(here.store, row))
    except (TrajectoryError, OSError, zipfile.BadZipFile, httpx.HTTPError):
        abort(404)
    response = Response(drawn, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "private, no-store" if private else "public, max-age=3600"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    return response


def recording(store: Store, row: Artifact) -> Trajectory:
    """The trajectory behind a row.

    Raises:
        TrajectoryError: It is too long, or damaged.
        OSError, httpx.HTTPError, zipfile.BadZipFile: It cannot be read.
    """
    if row.size > FILE_MAX:
        raise TrajectoryError(f"the recording is longer than {FILE_MAX} bytes; download it")
    blob = artifacts.blob_of(row)
    path = store.local_path(blob)
    if path is not None:
        with path.open("rb") as file:
            _check_unpacked(file)
        return load(path)
    data = _fetched(store, blob)
    _check_unpacked(io.BytesIO(data))
    with tempfile.NamedTemporaryFile(suffix=".npz") as copy:
        copy.write(data)
        copy.flush()
        return load(Path(copy.name))


def _check_unpacked(file: BinaryIO) -> None:
    """A few bytes may unpack to very many."""
    with zipfile.ZipFile(file) as archive:
        if sum(part.file_size for part in archive.infolist()) > UNPACKED_MAX:
            raise TrajectoryError(f"the recording is longer than {UNPACKED_MAX} bytes unpacked; download it")


def _fetched(store: Store, blob: Blob) -> bytes:
    address = store.address(blob, Delivery("application/octet-stream", "attachment"))
    return httpx.get(address, timeout=FETCH_S).raise_for_status().content
