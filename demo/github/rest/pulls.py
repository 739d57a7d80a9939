"""Reference: Pull requests, and the issues they share numbers with."""

from flask import request
from sqlalchemy import select

from demo.github import events, pulls
from demo.github.errors import invalid, not_found
from demo.github.models import Issue, Pull, Repository
from demo.github.rest import fields, paging
from demo.github.rest.api import Answer, Api, Call
from demo.github.scope import Scope, now
from demo.github.shapes import conversations, repositories

_READ = {"pull_requests": "read"}
_WRITE = {"pull_requests": "write"}


def add(api: Api) -> None:
    """Register the chapter."""
    repo = "/repos/<owner>/<repo>"
    api.route("GET", f"{repo}/pulls")(list_pulls)
    api.route("POST", f"{repo}/pulls", content=True)(create_pull)
    api.route("GET", f"{repo}/pulls/<int:pull_number>")(get_pull)
    api.route("PATCH", f"{repo}/pulls/<int:pull_number>")(update_pull)
    api.route("GET", f"{repo}/pulls/<int:pull_number>/commits")(list_pull_commits)
    api.route("GET", f"{repo}/issues")(list_issues)
    api.route("POST", f"{repo}/issues", content=True)(create_issue)
    api.route("GET", f"{repo}/issues/<int:issue_number>")(get_issue)


def issue_of(scope: Scope, row: Repository, number: int) -> Issue:
    """Return the issue or pull request of a number, or raise 404."""
    query = select(Issue).where(Issue.repository_id == row.id, Issue.number == number)
    issue = scope.session.scalar(query)
    if issue is None:
        raise not_found()
    return issue


def _find_pull(call: Call, row: Repository, number: int) -> Pull:
    pull = issue_of(call.scope, row, number).pull
    if pull is None:
        raise not_found()
    return pull


def list_pulls(call: Call, owner: str, repo: str) -> Answer:
    """List pull requests by `state`, `head` (OWNER:BRANCH) and `base`, newest first."""
    row = call.repository(owner, repo, _READ)
    query = select(Pull).join(Pull.issue).where(Issue.repository_id == row.id)
    state, base = request.args.get("state", "open"), request.args.get("base")
    if state not in ("open", "closed", "all"):
        raise invalid("Validation Failed", {"resource": "PullRequest", "field": "state", "code": "invalid"})
    if state != "all":
        query = query.where(Issue.state == state)
    if base:
        query = query.where(Pull.base_ref == base)
    order = Issue.number if request.args.get("direction") == "asc" else Issue.number.desc()
    rows = call.scope.session.scalars(query.order_by(order)).all()
    head = request.args.get("head")
    # GitHub ignores a head that is not OWNER:BRANCH.
    matching = [it for it in rows if not head or ":" not in head or it.head_label == head]
    shown, headers = paging.page(call.hub.settings, matching)
    return Answer([conversations.pull_simple(call.scope, it) for it in shown], headers=headers)


def create_pull(call: Call, owner: str, repo: str) -> Answer:
    """Open a pull request. A person needs to read the base only: that is how forks contribute."""
    body = call.body()
    row = call.repository(owner, repo, _WRITE)
    author, _ = call.actor()
    pull = pulls.open_pull(
        call.scope,
        row,
        author,
        head=fields.text(body, "head"),
        base_ref=fields.text(body, "base"),
        title=fields.text(body, "title"),
        body=fields.optional_text(body, "body"),
        draft=body.get("draft") is True,
    )
    document = conversations.pull(call.scope, pull)
    return Answer(document, 201, {"Location": document["url"]})


def get_pull(call: Call, owner: str, repo: str, pull_number: int) -> Answer:
    """Tell of a pull request."""
    row = call.repository(owner, repo, _READ)
    return Answer(conversations.pull(call.scope, _find_pull(call, row, pull_number)))


def update_pull(call: Call, owner: str, repo: str, pull_number: int) -> Answer:
    """Change title or body, close or reopen."""
    body = call.body()
    row = call.repository(owner, repo, _WRITE)
    pull = _find_pull(call, row, pull_number)
    actor, app = call.actor()
    if app is None and actor.id != pull.issue.user_id:
        call.repository(owner, repo, _WRITE, user_role="write")
    issue = pull.issue
    issue.title = fields.optional_text(body, "title") or issue.title
    issue.body = body.get("body", issue.body)
    issue.updated_at = now()
    state = fields.choice(body, "state", ("open", "closed"))
    if state == "closed" and issue.state == "open":
        pulls.close(call.scope, pull, actor)
    elif state == "open" and issue.state == "closed":
        pulls.reopen(call.scope, pull, actor)
    return Answer(conversations.pull(call.scope, pull))


def list_pull_commits(call: Call, owner: str, repo: str, pull_number: int) -> Answer:
    """List a pull request's commits, oldest first."""
    row = call.repository(owner, repo, _READ)
    pull = _find_pull(call, row, pull_number)
    commits = call.scope.store.log(row.id, pull.head_sha, exclude=pull.base_sha, limit=250)[::-1]
    shown, headers = paging.page(call.hub.settings, commits)
    return Answer([repositories.commit(call.scope, row, it) for it in shown], headers=headers)


def list_issues(call: Call, owner: str, repo: str) -> Answer:
    """List conversations, newest first; pull requests are among them."""
    row = call.repository(owner, repo, {"issues": "read"})
    state = request.args.get("state", "open")
    query = select(Issue).where(Issue.repository_id == row.id).order_by(Issue.number.desc())
    if state != "all":
        query = query.where(Issue.state == state)
    shown, headers = paging.page(call.hub.settings, call.scope.session.scalars(query).all())
    return Answer([conversations.issue(call.scope, it) for it in shown], headers=headers)


def create_issue(call: Call, owner: str, repo: str) -> Answer:
    """Open an issue that is no pull request."""
    body = call.body()
    row = call.repository(owner, repo, {"issues": "write"}, user_role="read")
    author, _ = call.actor()
    issue = Issue(
        repository=row, number=pulls.take_number(row), user=author, title=fields.text(body, "title")
    )
    issue.body, issue.created_at, issue.updated_at = fields.optional_text(body, "body"), now(), now()
    call.scope.session.add(issue)
    call.scope.session.flush()
    events.issues(call.scope, issue, author, "opened")
    document = conversations.issue(call.scope, issue)
    return Answer(document, 201, {"Location": document["url"]})


def get_issue(call: Call, owner: str, repo: str, issue_number: int) -> Answer:
    """Tell of an issue, or of a pull request as an issue."""
    row = call.repository(owner, repo, {"issues": "read", "pull_requests": "read"})
    return Answer(conversations.issue(call.scope, issue_of(call.scope, row, issue_number)))
