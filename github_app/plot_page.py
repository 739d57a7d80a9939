"""`GET /jobs/ID/plot.svg`: the picture of a job's first session (`plots` draws it).

The address is stable and asks who is there, as all pages do, so that a check run of a public repository can
show the picture through GitHub's image proxy; a private one's is only linked.
`?dark=1` is the same for a dark page.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue

from github_app import artifacts, policy, recordings, services
from github_app.models import Job
from github_app.plots import PLOT, svg
from github_app.recordings import NoRecordingError
from github_app.replay import kept

blueprint = Blueprint("plots", __name__)


@blueprint.get(f"/jobs/<int:job_id>/{PLOT}")
def plot(job_id: int) -> ResponseReturnValue:
    """The picture; a hidden job is not there."""
    here = services.current()
    with here.db.read() as session:
        job = session.get(Job, job_id)
        if job is None or not policy.visible(job, policy.viewer()):
            abort(404)
        row = recordings.of_session(artifacts.listing(session, job), 0)
        private = job.repository.private
    if row is None:
        abort(404)
    dark = request.args.get("dark") == "1"
    try:
        drawn = kept().made(row, f"svg-{dark:d}", lambda recorded: svg(recorded, dark=dark).encode())
    except NoRecordingError:
        abort(404)
    response = Response(drawn, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "private, no-store" if private else "public, max-age=3600"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    return response
