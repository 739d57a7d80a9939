"""Check suites, check runs and annotations as JSON."""

from urllib.parse import quote

from sqlalchemy import select

from demo.github.models import Annotation, CheckRun, CheckSuite, Issue, Pull, Repository
from demo.github.scope import Scope, iso, maybe_iso
from demo.github.shapes.accounts import Json, app, node_id
from demo.github.shapes.conversations import pull_minimal
from demo.github.shapes.repositories import api_url, html_url, repository

# A suite is as bad as its worst run, in this order.
_WORST_FIRST = (
    "action_required", "timed_out", "cancelled", "failure", "stale", "neutral", "skipped", "success",
)  # fmt: skip


def suite_status(suite: CheckSuite) -> tuple[str, str | None]:
    """Return a suite's status and conclusion, from the newest run of each name."""
    runs = list({run.name: run for run in suite.runs}.values())
    if not runs or all(run.status == "queued" for run in runs):
        return "queued", None
    if any(run.status != "completed" for run in runs):
        return "in_progress", None
    conclusions = {run.conclusion for run in runs}
    return "completed", next(word for word in _WORST_FIRST if word in conclusions)


def pulls_of(scope: Scope, row: Repository, sha: str) -> list[Json]:
    """Return the open pull requests of this repository's own branches with this head.

    GitHub lists none from forks here: pushes to a fork are not detected by Checks.
    """
    query = (
        select(Pull)
        .join(Pull.issue)
        .where(
            Issue.repository_id == row.id,
            Issue.state == "open",
            Pull.head_sha == sha,
            Pull.head_repository_id == row.id,
        )
    )
    return [pull_minimal(scope, it) for it in scope.session.scalars(query)]


def _suite_common(scope: Scope, row: CheckSuite) -> Json:
    status, conclusion = suite_status(row)
    return {
        "id": row.id,
        "node_id": node_id("CheckSuite", row.id),
        "head_branch": row.head_branch,
        "head_sha": row.head_sha,
        "status": status,
        "conclusion": conclusion,
        "url": f"{api_url(scope, row.repository)}/check-suites/{row.id}",
        "before": row.before,
        "after": row.after,
        "pull_requests": pulls_of(scope, row.repository, row.head_sha),
        "app": app(scope, row.app),
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
    }


def suite_event(scope: Scope, row: CheckSuite) -> Json:
    """Return the `check_suite` of a webhook."""
    it = scope.store.commit(row.repository_id, row.head_sha)
    return {
        **_suite_common(scope, row),
        "rerequestable": True,
        "runs_rerequestable": True,
        "latest_check_runs_count": len({run.name for run in row.runs}),
        "check_runs_url": f"{api_url(scope, row.repository)}/check-suites/{row.id}/check-runs",
        "head_commit": {
            "id": it.sha,
            "tree_id": it.tree,
            "message": it.message,
            "timestamp": it.committer.date,
            "author": {"name": it.author.name, "email": it.author.email},
            "committer": {"name": it.committer.name, "email": it.committer.email},
        },
    }


def suite(scope: Scope, row: CheckSuite) -> Json:
    """Return the `check-suite` document."""
    return {**suite_event(scope, row), "repository": repository(scope, row.repository)}


def run_page(scope: Scope, row: CheckRun) -> str:
    """Return the page of a check run."""
    return f"{html_url(scope, row.suite.repository)}/runs/{row.id}"


def run(scope: Scope, row: CheckRun) -> Json:
    """Return the `check-run` document."""
    repo = row.suite.repository
    url = f"{api_url(scope, repo)}/check-runs/{row.id}"
    return {
        "id": row.id,
        "name": row.name,
        "node_id": node_id("CheckRun", row.id),
        "head_sha": row.suite.head_sha,
        "external_id": row.external_id,
        "url": url,
        "html_url": run_page(scope, row),
        "details_url": row.details_url or row.suite.app.external_url,
        "status": row.status,
        "conclusion": row.conclusion,
        "started_at": maybe_iso(row.started_at),
        "completed_at": maybe_iso(row.completed_at),
        "output": {
            "title": row.title,
            "summary": row.summary,
            "text": row.text,
            "annotations_count": len(row.annotations),
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": row.suite_id},
        "app": app(scope, row.suite.app),
        "pull_requests": pulls_of(scope, repo, row.suite.head_sha),
    }


def run_event(scope: Scope, row: CheckRun) -> Json:
    """Return the `check_run` of a webhook: its suite is written out."""
    return {**run(scope, row), "check_suite": _suite_common(scope, row.suite)}


def annotation(scope: Scope, row: Annotation, check_run: CheckRun) -> Json:
    """Return the `check-annotation` document."""
    optional = ("start_column", "end_column", "title", "raw_details")
    blob = f"{html_url(scope, check_run.suite.repository)}/blob/{check_run.suite.head_sha}"
    return {
        **dict.fromkeys(optional),
        **row.content,
        "blob_href": f"{blob}/{quote(row.content['path'])}",
    }
