"""What one can do on the pages: choose who one is, comment, press buttons, ask for a redelivery."""

from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response

from demo.github import events
from demo.github.errors import ApiError
from demo.github.hub import Hub
from demo.github.models import CheckRun, Delivery
from demo.github.rest.comments import post_comment
from demo.github.rest.pulls import issue_of
from demo.github.scope import Scope
from demo.github.web import viewer


def blueprint(hub: Hub) -> Blueprint:
    """Return the forms' targets."""
    routes = Blueprint("actions", __name__)
    routes.before_request(viewer.refuse_foreign_forms)

    @routes.post("/_session")
    def choose_viewer() -> Response:
        answer = redirect(_local(request.form.get("next", "/")))
        answer.set_cookie(viewer.COOKIE, request.form.get("login", ""), httponly=True, samesite="Lax")
        return answer

    @routes.post("/<owner>/<name>/issues/<int:number>/comment")
    def comment(owner: str, name: str, number: int) -> Response:
        with hub.write() as scope:
            author = viewer.signed_in(scope)
            issue = issue_of(scope, viewer.find_repository(scope, owner, name), number)
            text = request.form.get("body", "").replace("\r\n", "\n").strip()
            if not text:
                abort(400, "Write something first.")
            posted = post_comment(scope, issue, author, None, text)
        kind = "pull" if issue.pull else "issues"
        return redirect(f"/{owner}/{name}/{kind}/{number}#issuecomment-{posted.id}")

    @routes.post("/<owner>/<name>/runs/<int:run_id>/rerequest")
    def rerequest(owner: str, name: str, run_id: int) -> Response:
        with hub.write() as scope:
            run, sender = _writable_run(scope, owner, name, run_id), viewer.signed_in(scope)
            events.check_run(scope, run, sender, "rerequested")
        return _back(f"/{owner}/{name}/runs/{run_id}")

    @routes.post("/<owner>/<name>/runs/<int:run_id>/press")
    def press(owner: str, name: str, run_id: int) -> Response:
        identifier = request.form.get("identifier", "")
        with hub.write() as scope:
            run, sender = _writable_run(scope, owner, name, run_id), viewer.signed_in(scope)
            if identifier not in [action["identifier"] for action in run.actions]:
                abort(404)
            events.check_run(scope, run, sender, "requested_action", identifier)
        return _back(f"/{owner}/{name}/runs/{run_id}")

    @routes.post("/apps/<slug>/deliveries/<int:delivery_id>/redeliver")
    def redeliver(slug: str, delivery_id: int) -> Response:
        with hub.write() as scope:
            row = scope.session.get(Delivery, delivery_id)
            if row is None or row.app.slug != slug:
                abort(404)
            events.redeliver(scope, row)
        return redirect(f"/apps/{slug}")

    @routes.errorhandler(ApiError)
    def refused(error: ApiError) -> tuple[str, int]:
        return error.message, error.status

    return routes


def _writable_run(scope: Scope, owner: str, name: str, run_id: int) -> CheckRun:
    row = viewer.find_repository(scope, owner, name)
    if not viewer.may_write(scope, viewer.signed_in(scope), row):
        abort(403, "Pressing an App's buttons needs write permission on the repository.")
    run = scope.session.get(CheckRun, run_id)
    if run is None or run.suite.repository_id != row.id:
        abort(404)
    return run


def _local(target: str) -> str:
    """Return a path of this site; anything else would be an open redirect."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"


def _back(default: str) -> Response:
    return redirect(_local(request.form.get("next", default)))
