"""Issues, pull requests, comments and reactions as JSON."""

from collections import Counter

from demo.github import access
from demo.github.models import Account, Comment, Issue, Pull, Reaction, Repository
from demo.github.scope import Scope, iso, maybe_iso
from demo.github.shapes.accounts import Json, account, app, node_id
from demo.github.shapes.repositories import api_url, html_url, repository

REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


def association(scope: Scope, user: Account, row: Repository) -> str:
    """Return how a person belongs to a repository. It says nothing about what they may do."""
    if user.id == row.owner_id:
        return "OWNER"
    has = access.role(scope, user, row)
    if has == "none":
        return "NONE"
    return "MEMBER" if row.owner.kind == "Organization" and has == "admin" else "COLLABORATOR"


def rollup(comment: Comment | None, url: str) -> Json:
    """Return how many reactions of each kind there are."""
    counts = Counter(reaction.content for reaction in comment.reactions) if comment else Counter[str]()
    return {"url": url, "total_count": counts.total(), **{name: counts[name] for name in REACTIONS}}


def comment(scope: Scope, row: Comment) -> Json:
    """Return the `issue-comment` document."""
    issue = row.issue
    api, html = api_url(scope, issue.repository), issue_page(scope, issue)
    url = f"{api}/issues/comments/{row.id}"
    return {
        "url": url,
        "html_url": f"{html}#issuecomment-{row.id}",
        "issue_url": f"{api}/issues/{issue.number}",
        "id": row.id,
        "node_id": node_id("IssueComment", row.id),
        "user": account(scope, row.user),
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "author_association": association(scope, row.user, issue.repository),
        "body": row.body,
        "reactions": rollup(row, f"{url}/reactions"),
        "performed_via_github_app": app(scope, row.app) if row.app else None,
    }


def reaction(scope: Scope, row: Reaction) -> Json:
    """Return the `reaction` document."""
    return {
        "id": row.id,
        "node_id": node_id("Reaction", row.id),
        "user": account(scope, row.user),
        "content": row.content,
        "created_at": iso(row.created_at),
    }


def issue_page(scope: Scope, row: Issue) -> str:
    """Return the page of an issue or a pull request."""
    return f"{html_url(scope, row.repository)}/{'pull' if row.pull else 'issues'}/{row.number}"


def issue(scope: Scope, row: Issue) -> Json:
    """Return the `issue` document; of a pull request it has `pull_request`, as on GitHub."""
    api = f"{api_url(scope, row.repository)}/issues/{row.number}"
    document = {
        "url": api,
        "repository_url": api_url(scope, row.repository),
        "labels_url": f"{api}/labels{{/name}}",
        "comments_url": f"{api}/comments",
        "events_url": f"{api}/events",
        "timeline_url": f"{api}/timeline",
        "html_url": issue_page(scope, row),
        **_conversation(scope, row, "Issue", row.id),
        "comments": len(row.comments),
        "reactions": rollup(None, f"{api}/reactions"),
        "performed_via_github_app": None,
        "state_reason": None,
    }
    if row.pull:
        page = issue_page(scope, row)
        document["draft"] = row.pull.draft
        document["pull_request"] = {
            "url": f"{api_url(scope, row.repository)}/pulls/{row.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": maybe_iso(row.pull.merged_at),
        }
    return document


def _conversation(scope: Scope, row: Issue, kind: str, identity: int) -> Json:
    return {
        "id": identity,
        "node_id": node_id(kind, identity),
        "number": row.number,
        "title": row.title,
        "user": account(scope, row.user),
        "labels": [],
        "state": row.state,
        "locked": row.locked,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "closed_at": maybe_iso(row.closed_at),
        "author_association": association(scope, row.user, row.repository),
        "active_lock_reason": None,
        "body": row.body,
    }


def pull_simple(scope: Scope, row: Pull) -> Json:
    """Return the `pull-request-simple` document: what a list shows."""
    base = row.issue.repository
    api, page = f"{api_url(scope, base)}/pulls/{row.issue.number}", issue_page(scope, row.issue)
    links = {
        "self": api,
        "html": page,
        "issue": f"{api_url(scope, base)}/issues/{row.issue.number}",
        "comments": f"{api_url(scope, base)}/issues/{row.issue.number}/comments",
        "review_comments": f"{api}/comments",
        "review_comment": f"{api_url(scope, base)}/pulls/comments{{/number}}",
        "commits": f"{api}/commits",
        "statuses": f"{api_url(scope, base)}/statuses/{row.head_sha}",
    }
    return {
        "url": api,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        **{f"{name}_url": url for name, url in links.items() if name not in ("self", "html")},
        **_conversation(scope, row.issue, "PullRequest", row.id),
        "merged_at": maybe_iso(row.merged_at),
        "merge_commit_sha": row.merge_commit_sha,
        "requested_reviewers": [],
        "requested_teams": [],
        "draft": row.draft,
        "head": _side(scope, row.head_owner, row.head_repository, row.head_ref, row.head_sha),
        "base": _side(scope, base.owner, base, row.base_ref, row.base_sha),
        "_links": {name: {"href": url} for name, url in links.items()},
        "auto_merge": None,
    }


def pull(scope: Scope, row: Pull) -> Json:
    """Return the `pull-request` document."""
    stat = scope.store.diff_stat(row.issue.repository_id, row.base_sha, row.head_sha)
    states = {True: "clean", False: "dirty", None: "unknown"}
    return {
        **pull_simple(scope, row),
        "merged": row.merged_at is not None,
        "mergeable": row.mergeable,
        "rebaseable": row.mergeable,
        "mergeable_state": states[row.mergeable],
        "merged_by": account(scope, row.merged_by) if row.merged_by else None,
        "comments": len(row.issue.comments),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": stat.commits,
        "additions": stat.additions,
        "deletions": stat.deletions,
        "changed_files": stat.files,
    }


def _side(scope: Scope, owner: Account, row: Repository | None, ref: str, sha: str) -> Json:
    return {
        "label": f"{owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": account(scope, owner),
        "repo": repository(scope, row) if row else None,
    }


def pull_minimal(scope: Scope, row: Pull) -> Json:
    """Return the `pull-request-minimal` document that check runs list: both sides are in one repository."""
    base = row.issue.repository
    repo = {"id": base.id, "url": api_url(scope, base), "name": base.name}
    return {
        "id": row.id,
        "number": row.issue.number,
        "url": f"{api_url(scope, base)}/pulls/{row.issue.number}",
        "head": {"ref": row.head_ref, "sha": row.head_sha, "repo": repo},
        "base": {"ref": row.base_ref, "sha": row.base_sha, "repo": repo},
    }
