"""What one can look at."""

from typing import Any

from flask import Blueprint, Response, abort, render_template
from sqlalchemy import select

from demo.github.hub import Hub
from demo.github.models import Account, App, CheckRun, CheckSuite, Delivery, Issue, Pull, Repository
from demo.github.rest.pulls import issue_of
from demo.github.scope import Scope, iso
from demo.github.shapes import checks
from demo.github.web import markdown
from demo.github.web.viewer import find_repository, may_write, viewer, visible

_SHOWN = 50
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src * data:",
        "style-src-attr 'unsafe-inline'",  # the alignment of Markdown tables
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_AVATAR = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40" role="img"><rect width="40" height="40" '
    'fill="hsl({hue} 45% 40%)"/><text x="20" y="27" font-family="sans-serif" font-size="20" fill="#fff" '
    'text-anchor="middle">{letter}</text></svg>'
)


def blueprint(hub: Hub) -> Blueprint:
    """Return the pages."""
    routes = Blueprint(
        "pages", __name__, template_folder="templates", static_folder="static", static_url_path="/_static"
    )
    routes.add_app_template_filter(markdown.render, "markdown")
    routes.add_app_template_filter(iso, "iso")
    routes.after_request(_guard)
    pages = {
        "/": repositories,
        "/<owner>": repositories,
        "/<owner>/<name>": repository,
        "/<owner>/<name>/commit/<sha>": commit,
        "/<owner>/<name>/pull/<int:number>": pull,
        "/<owner>/<name>/pull/<int:number>.diff": pull_diff,
        "/<owner>/<name>/issues/<int:number>": pull,
        "/<owner>/<name>/runs/<int:run_id>": check_run,
        "/<owner>/<name>/blob/<path:address>": blob,
        "/<owner>/<name>/raw/<path:address>": raw,
        "/apps/<slug>": app,
        "/_avatar/<int:account_id>.svg": avatar,
    }
    for rule, page in pages.items():
        routes.add_url_rule(rule, rule.replace(".", "_"), _view(hub, page))
    return routes


def _guard(response: Response) -> Response:
    # Check runs show images of the App's own server; nothing else may come from elsewhere.
    response.headers["Content-Security-Policy"] = f"{_POLICY}; form-action 'self'"
    return response


def guard_leading_out(response: Response) -> Response:
    """The policy of pages whose forms lead to an App's own server in the end, by a redirect."""
    response.headers["Content-Security-Policy"] = f"{_POLICY}; form-action http: https:"
    return response


def _view(hub: Hub, page: Any) -> Any:
    def respond(**arguments: Any) -> Any:
        with hub.read() as scope:
            return page(scope, **arguments)

    return respond


def render(scope: Scope, template: str, **values: Any) -> str:
    """A page with the head that all of them have."""
    people = scope.session.scalars(
        select(Account).where(Account.kind == "User").order_by(Account.login)
    ).all()
    return render_template(template, viewer=viewer(scope), people=people, **values)


def repositories(scope: Scope, owner: str | None = None) -> str:
    """List the repositories the visitor may see: all, or an account's."""
    query = select(Repository).order_by(Repository.pushed_at.desc())
    if owner is not None:
        account = scope.account(owner) or abort(404)
        query = query.where(Repository.owner_id == account.id)
    rows = [row for row in scope.session.scalars(query) if visible(scope, viewer(scope), row)]
    apps = scope.session.scalars(select(App).order_by(App.id)).all()
    return render(scope, "repositories.html", repositories=rows, apps=apps, owner=owner)


def repository(scope: Scope, owner: str, name: str) -> str:
    """Show branches, commits, pull requests and files."""
    row = find_repository(scope, owner, name)
    tip = scope.store.resolve(row.id, row.default_branch)
    pulls = select(Issue).where(Issue.repository_id == row.id).order_by(Issue.number.desc()).limit(_SHOWN)
    commits = scope.store.log(row.id, tip, limit=20) if tip else []
    return render(
        scope,
        "repository.html",
        repository=row,
        branches=scope.store.refs(row.id, "refs/heads"),
        commits=[(it, _suites(scope, row, it.sha)) for it in commits],
        issues=scope.session.scalars(pulls).all(),
        files=scope.store.tree(row.id, tip, "") if tip else [],
        tip=tip,
        suite_status=checks.suite_status,
    )


def _suites(scope: Scope, row: Repository, sha: str) -> list[CheckSuite]:
    query = select(CheckSuite).where(CheckSuite.repository_id == row.id, CheckSuite.head_sha == sha)
    return [suite for suite in scope.session.scalars(query.order_by(CheckSuite.id)) if suite.runs]


def _checks(scope: Scope, row: Repository, sha: str) -> dict[str, Any]:
    """Return what the templates' list of checks needs: the newest run of each name and App."""
    suites = _suites(scope, row, sha)
    runs = [run for suite in suites for run in {run.name: run for run in suite.runs}.values()]
    working = any(run.status != "completed" for run in runs)
    return {"runs": runs, "working": working, "writer": may_write(scope, viewer(scope), row)}


def commit(scope: Scope, owner: str, name: str, sha: str) -> str:
    """Show a commit and its check runs."""
    row = find_repository(scope, owner, name)
    found = scope.store.resolve(row.id, sha) or abort(404)
    it = scope.store.commit(row.id, found)
    changes = scope.store.changed_files(row.id, [found])[found]
    shown = _checks(scope, row, found)
    return render(scope, "commit.html", repository=row, commit=it, changes=changes, **shown)


def pull(scope: Scope, owner: str, name: str, number: int) -> str:
    """Show a conversation and, of a pull request, the check runs of its head."""
    row = find_repository(scope, owner, name)
    issue = issue_of(scope, row, number)
    shown = _checks(scope, row, issue.pull.head_sha) if issue.pull else {"runs": [], "working": False}
    commits = _pull_commits(scope, issue.pull) if issue.pull else []
    return render(scope, "pull.html", repository=row, issue=issue, pull=issue.pull, commits=commits, **shown)


def _pull_commits(scope: Scope, row: Pull) -> list[Any]:
    return scope.store.log(row.issue.repository_id, row.head_sha, exclude=row.base_sha)[::-1]


def pull_diff(scope: Scope, owner: str, name: str, number: int) -> Response:
    """Show what a pull request changes."""
    issue = issue_of(scope, find_repository(scope, owner, name), number)
    row = issue.pull or abort(404)
    text = scope.store.diff(issue.repository_id, row.base_sha, row.head_sha)
    return Response(text, content_type="text/plain; charset=utf-8")


def check_run(scope: Scope, owner: str, name: str, run_id: int) -> str:
    """Show one check run with everything the App said."""
    row = find_repository(scope, owner, name)
    run = scope.session.get(CheckRun, run_id)
    if run is None or run.suite.repository_id != row.id:
        abort(404)
    it = scope.store.commit(row.id, run.suite.head_sha)
    earlier = [other for other in run.suite.runs if other.name == run.name and other.id != run.id]
    working = run.status != "completed"
    writer = may_write(scope, viewer(scope), row)
    values = {"run": run, "commit": it, "earlier": earlier, "working": working, "writer": writer}
    return render(scope, "run.html", repository=row, **values)


def _file(scope: Scope, row: Repository, address: str) -> tuple[str, str, bytes]:
    """Return commit, path and content of REF/PATH; a branch's name may have slashes of its own."""
    words = address.split("/")
    for length in range(1, len(words)):
        sha = scope.store.resolve(row.id, "/".join(words[:length]))
        path = "/".join(words[length:])
        parent, _, leaf = path.rpartition("/")
        for entry in scope.store.tree(row.id, sha, parent) if sha else ():
            if entry.name == leaf and entry.kind == "blob":
                return str(sha), path, scope.store.blob(row.id, entry.sha)
    return abort(404)


def blob(scope: Scope, owner: str, name: str, address: str) -> str:
    """Show a file with line numbers."""
    row = find_repository(scope, owner, name)
    sha, path, data = _file(scope, row, address)
    lines = data.decode("utf-8", "replace").splitlines()
    return render(scope, "blob.html", repository=row, path=path, sha=sha, lines=lines)


def raw(scope: Scope, owner: str, name: str, address: str) -> Response:
    """Hand out a file as it is, and never as a page."""
    _, _, data = _file(scope, find_repository(scope, owner, name), address)
    return Response(data, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})


def app(scope: Scope, slug: str) -> str:
    """Show an App: permissions, and what its webhook was sent, newest first."""
    row = scope.session.scalar(select(App).where(App.slug == slug)) or abort(404)
    query = select(Delivery).where(Delivery.app_id == row.id).order_by(Delivery.id.desc()).limit(_SHOWN)
    return render(scope, "app.html", app=row, deliveries=scope.session.scalars(query).all())


def avatar(scope: Scope, account_id: int) -> Response:
    """Draw an account's picture."""
    row = scope.session.get(Account, account_id) or abort(404)
    picture = _AVATAR.format(hue=account_id * 47 % 360, letter=row.login[0].upper())
    headers = {"Cache-Control": "max-age=3600"}
    return Response(picture, content_type="image/svg+xml", headers=headers)
