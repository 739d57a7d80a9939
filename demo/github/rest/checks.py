"""Reference: Check runs and check suites. Only Apps write them."""

from typing import Any

from flask import request
from sqlalchemy import select

from demo.github import access, events
from demo.github.errors import ApiError, invalid, not_found
from demo.github.models import Annotation, App, CheckRun, CheckSuite, Repository
from demo.github.rest import check_input, fields, paging
from demo.github.rest.api import Answer, Api, Call
from demo.github.scope import Scope, now
from demo.github.shapes import checks

_READ = {"checks": "read"}
_WRITE = {"checks": "write"}


def add(api: Api) -> None:
    """Register the chapter."""
    repo = "/repos/<owner>/<repo>"
    api.route("POST", f"{repo}/check-runs", content=True)(create_run)
    api.route("GET", f"{repo}/check-runs/<int:check_run_id>")(get_run)
    api.route("PATCH", f"{repo}/check-runs/<int:check_run_id>")(update_run)
    api.route("GET", f"{repo}/check-runs/<int:check_run_id>/annotations")(list_annotations)
    api.route("POST", f"{repo}/check-runs/<int:check_run_id>/rerequest")(rerequest_run)
    api.route("GET", f"{repo}/check-suites/<int:check_suite_id>")(get_suite)
    api.route("GET", f"{repo}/check-suites/<int:check_suite_id>/check-runs")(list_suite_runs)
    api.route("POST", f"{repo}/check-suites/<int:check_suite_id>/rerequest")(rerequest_suite)
    api.route("GET", f"{repo}/commits/<path:ref>/check-runs")(list_runs)
    api.route("GET", f"{repo}/commits/<path:ref>/check-suites")(list_suites)


def _writing_app(call: Call, owner: str, repo: str) -> tuple[Repository, App]:
    if isinstance(call.who, access.Person):
        call.repository(owner, repo)
        raise ApiError(403, "You must authenticate via a GitHub App.")
    row = call.repository(owner, repo, _WRITE)
    _, app = call.actor()
    if app is None:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    return row, app


def find_run(scope: Scope, row: Repository, check_run_id: int) -> CheckRun:
    """Return a repository's check run by its id."""
    run = scope.session.get(CheckRun, check_run_id)
    if run is None or run.suite.repository_id != row.id:
        raise not_found()
    return run


def create_run(call: Call, owner: str, repo: str) -> Answer:
    """Make a check run. Not idempotent: asking twice makes two."""
    body = call.body()
    row, app = _writing_app(call, owner, repo)
    fields.text(body, "name")
    sha = check_input.head_sha(body)
    values = check_input.changes(body)
    if values.get("title") is None and "summary" in values:
        raise fields.wrong('"title" wasn\'t supplied.')
    if call.scope.store.resolve(row.id, sha) != sha:
        raise invalid(f"No commit found for SHA: {sha}")
    suite = events.check_suite(call.scope, row, app, sha)
    run = CheckRun(suite=suite, status="queued", started_at=now())
    call.scope.session.add(run)
    _apply(call, run, values)
    events.check_run(call.scope, run, app.bot, "created")
    if run.status == "completed":
        _tell_completed(call, run)
    document = checks.run(call.scope, run)
    return Answer(document, 201, {"Location": document["url"]})


def _apply(call: Call, run: CheckRun, values: dict[str, Any]) -> None:
    """Set what was sent; annotations are appended, everything else replaced."""
    for content in values.pop("annotations", ()):
        run.annotations.append(Annotation(content=content))
    for field, value in values.items():
        setattr(run, field, value)
    if run.status != "completed":
        run.completed_at = None
    elif run.completed_at is None:
        run.completed_at = now()
    run.suite.updated_at = now()
    call.scope.session.flush()


def _tell_completed(call: Call, run: CheckRun) -> None:
    bot = run.suite.app.bot
    events.check_run(call.scope, run, bot, "completed")
    if checks.suite_status(run.suite)[0] == "completed":
        events.check_suite_completed(call.scope, run.suite, bot)


def get_run(call: Call, owner: str, repo: str, check_run_id: int) -> Answer:
    """Tell of a check run."""
    row = call.repository(owner, repo, _READ)
    return Answer(checks.run(call.scope, find_run(call.scope, row, check_run_id)))


def update_run(call: Call, owner: str, repo: str, check_run_id: int) -> Answer:
    """Change a check run; only the App that made it may."""
    body = call.body()
    row, app = _writing_app(call, owner, repo)
    run = find_run(call.scope, row, check_run_id)
    if run.suite.app_id != app.id:
        raise ApiError(
            403,
            f"Invalid app_id `{app.id}` - check run can only be modified by the GitHub App that created it.",
        )
    was_completed = run.status == "completed"
    values = check_input.changes(body, has_conclusion=run.conclusion is not None)
    if values.get("title", "") is None:
        values["title"] = run.title
    _apply(call, run, values)
    if run.status == "completed" and not was_completed:
        _tell_completed(call, run)
    return Answer(checks.run(call.scope, run))


def list_annotations(call: Call, owner: str, repo: str, check_run_id: int) -> Answer:
    """List a check run's annotations in the order they came."""
    run = find_run(call.scope, call.repository(owner, repo, _READ), check_run_id)
    shown, headers = paging.page(call.hub.settings, run.annotations)
    return Answer([checks.annotation(call.scope, it, run) for it in shown], headers=headers)


def rerequest_run(call: Call, owner: str, repo: str, check_run_id: int) -> Answer:
    """Ask the App to run a check again."""
    row, app = _writing_app(call, owner, repo)
    run = find_run(call.scope, row, check_run_id)
    if run.suite.app_id != app.id:
        raise ApiError(403, "This check run is not rerequestable")
    events.check_run(call.scope, run, app.bot, "rerequested")
    return Answer({}, 201)


def _find_suite(call: Call, row: Repository, check_suite_id: int) -> CheckSuite:
    suite = call.scope.session.get(CheckSuite, check_suite_id)
    if suite is None or suite.repository_id != row.id:
        raise not_found()
    return suite


def get_suite(call: Call, owner: str, repo: str, check_suite_id: int) -> Answer:
    """Tell of a check suite."""
    row = call.repository(owner, repo, _READ)
    return Answer(checks.suite(call.scope, _find_suite(call, row, check_suite_id)))


def rerequest_suite(call: Call, owner: str, repo: str, check_suite_id: int) -> Answer:
    """Ask the App to run all checks of a commit again."""
    row, app = _writing_app(call, owner, repo)
    suite = _find_suite(call, row, check_suite_id)
    if suite.app_id != app.id:
        raise ApiError(403, "This check suite is not rerequestable")
    events.check_suite_rerequested(call.scope, suite, app.bot)
    return Answer({}, 201)


def list_suite_runs(call: Call, owner: str, repo: str, check_suite_id: int) -> Answer:
    """List a suite's check runs."""
    row = call.repository(owner, repo, _READ)
    return _listed(call, list(_find_suite(call, row, check_suite_id).runs))


def list_runs(call: Call, owner: str, repo: str, ref: str) -> Answer:
    """List a commit's check runs of all Apps."""
    row = call.repository(owner, repo, _READ)
    return _listed(
        call, [run for suite in _suites(call, row, call.commit_sha(row, ref)) for run in suite.runs]
    )


def _suites(call: Call, row: Repository, sha: str) -> list[CheckSuite]:
    query = select(CheckSuite).where(CheckSuite.repository_id == row.id, CheckSuite.head_sha == sha)
    app_id = request.args.get("app_id", "")
    if app_id.isdigit():
        query = query.where(CheckSuite.app_id == int(app_id))
    return list(call.scope.session.scalars(query.order_by(CheckSuite.id)))


def _listed(call: Call, runs: list[CheckRun]) -> Answer:
    """Return the runs the query asks for, newest first; `filter=latest` (default): the newest of a name."""
    name, status = request.args.get("check_name"), request.args.get("status")
    if request.args.get("filter", "latest") == "latest":
        runs = list({(run.suite_id, run.name): run for run in runs}.values())
    found = [run for run in runs if name in (None, run.name) and status in (None, run.status)]
    found.sort(key=lambda run: -run.id)
    shown, headers = paging.page(call.hub.settings, found)
    document = {"total_count": len(found), "check_runs": [checks.run(call.scope, run) for run in shown]}
    return Answer(document, headers=headers)


def list_suites(call: Call, owner: str, repo: str, ref: str) -> Answer:
    """List a commit's check suites."""
    row = call.repository(owner, repo, _READ)
    suites = _suites(call, row, call.commit_sha(row, ref))
    shown, headers = paging.page(call.hub.settings, suites)
    document = {"total_count": len(suites), "check_suites": [checks.suite(call.scope, it) for it in shown]}
    return Answer(document, headers=headers)
