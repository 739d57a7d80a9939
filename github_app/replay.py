"""A finished job's recording for those who look at it again.

`GET /api/v1/jobs/{id}/trajectory?session=0` is the data of the replay (`replay_data`), and
`GET /jobs/{id}/replay.gif` the same as a moving picture (`animation`). Both ask who is there, like every
page; both are made when somebody first wants them and kept for a while (`recordings`).
"""

from __future__ import annotations

import gzip

from flask import Blueprint, Response, abort, current_app, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from github_app import artifacts, policy, recordings, services
from github_app.answers import ApiError
from github_app.models import Artifact, Job
from github_app.plots import ANIMATION
from github_app.recordings import NoRecordingError, Recordings
from github_app.replay_data import ReplayQuery, replay
from raas_gym.trajectory import Trajectory

EXTENSION = "raas-recordings"
VERSION = "1"
"""Part of what browsers remember an answer by: change it with the form of the answer."""

blueprint = Blueprint("replay", __name__)


def kept() -> Recordings:
    """The current application's, made when it is first needed."""
    found = current_app.extensions.get(EXTENSION)
    if not isinstance(found, Recordings):
        found = current_app.extensions[EXTENSION] = Recordings(services.current().store)
    return found


@blueprint.get("/api/v1/jobs/<int:job_id>/trajectory")
def data(job_id: int) -> Response:
    """One session's recording as JSON."""
    number = _session()
    row, count, private = _row(job_id, number)
    if row is None:
        raise ApiError(
            404, "no_recording", f"job {job_id} has no recording of session {number} that you may see"
        )

    def work(trajectory: Trajectory) -> bytes:
        return gzip.compress(replay(trajectory, number, count).model_dump_json().encode(), 6, mtime=0)

    etag = f"{VERSION}-{count}-{row.sha256[:32]}"
    if request.if_none_match.contains(etag):
        return _said(Response(status=304), etag, private)
    try:
        packed = kept().made(row, f"json-{count}", work)
    except NoRecordingError as error:
        raise ApiError(422, "unreadable", str(error)) from error
    if request.accept_encodings.quality("gzip"):
        response = Response(packed, mimetype="application/json")
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = Response(gzip.decompress(packed), mimetype="application/json")
    response.headers["Vary"] = "Accept-Encoding"
    return _said(response, etag, private)


@blueprint.get(f"/jobs/<int:job_id>/{ANIMATION}")
def picture(job_id: int) -> ResponseReturnValue:
    """One session as an animation; a hidden job is not there."""
    # Pillow is some megabytes that a server pays for only where somebody wants a picture.
    from github_app.animation import gif  # noqa: PLC0415

    try:
        row, _, private = _row(job_id, _session())
    except ApiError:
        abort(404)
    if row is None:
        abort(404)
    etag = f"{VERSION}-{row.sha256[:32]}"
    if request.if_none_match.contains(etag):
        return _said(Response(status=304), etag, private)
    try:
        drawn = kept().made(row, "gif", gif)
    except NoRecordingError:
        abort(404)
    return _said(Response(drawn, mimetype="image/gif"), etag, private)


def _session() -> int:
    try:
        return ReplayQuery.model_validate(request.args.to_dict()).session
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ApiError(
            422, "invalid", f"{first['loc'][0]}: {first['msg']}; see /api/v1/openapi.json"
        ) from None


def _row(job_id: int, session_number: int) -> tuple[Artifact | None, int, bool]:
    """The recording, how many sessions the job has, and whether it is private.

    Raises:
        ApiError: There is no such job for this viewer (404).
    """
    with services.current().db.read() as session:
        job = session.get(Job, job_id)
        if job is None or not policy.visible(job, policy.viewer()):
            raise ApiError(404, "no_such_job", f"there is no job {job_id} that you may see")
        rows = artifacts.listing(session, job)
        return (
            recordings.of_session(rows, session_number),
            recordings.sessions(rows),
            job.repository.private,
        )


def _said(response: Response, etag: str, private: bool) -> Response:
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-store" if private else "no-cache"
    return response
