"""Repositories, commits, refs and files as JSON."""

import base64
from typing import Any
from urllib.parse import quote

from sqlalchemy import func, select

from demo.github.git_store import Commit, Signature, TreeEntry
from demo.github.models import Issue, Repository
from demo.github.scope import Scope, iso
from demo.github.shapes.accounts import Json, account, node_id, organization

MAX_INLINE_BYTES = 1024 * 1024
"""The contents endpoint carries files up to this size; larger ones come raw or as blobs."""

_SYMLINK = "120000"
_MAIL_HOST = "users.noreply.github.localhost"

_API_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}

_CONSTANTS: Json = {
    "homepage": None,
    "size": 0,
    "stargazers_count": 0,
    "watchers_count": 0,
    "language": None,
    "has_issues": True,
    "has_projects": False,
    "has_downloads": False,
    "has_wiki": False,
    "has_pages": False,
    "has_discussions": False,
    "mirror_url": None,
    "disabled": False,
    "license": None,
    "allow_forking": True,
    "is_template": False,
    "web_commit_signoff_required": False,
    "topics": [],
    "watchers": 0,
}


def api_url(scope: Scope, row: Repository) -> str:
    """Return a repository's address in the API."""
    return f"{scope.settings.api_url}/repos/{row.full_name}"


def html_url(scope: Scope, row: Repository) -> str:
    """Return a repository's page."""
    return f"{scope.settings.public_url}/{row.full_name}"


def repository(scope: Scope, row: Repository) -> Json:
    """Return the `repository` document."""
    api, html = api_url(scope, row), html_url(scope, row)
    host = scope.settings.public_url.split("://", 1)[1]
    forks = _count(scope, select(func.count()).where(Repository.parent_id == row.id))
    issues = _count(scope, select(func.count()).where(Issue.repository_id == row.id, Issue.state == "open"))
    return {
        **reference(row),
        "owner": account(scope, row.owner),
        "html_url": html,
        "description": row.description,
        "fork": row.parent_id is not None,
        "url": api,
        **{name: api + suffix for name, suffix in _API_LINKS.items()},
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "pushed_at": iso(row.pushed_at),
        "git_url": f"git://{host}/{row.full_name}.git",
        "ssh_url": f"git@{host}:{row.full_name}.git",
        "clone_url": f"{html}.git",
        "svn_url": html,
        **_CONSTANTS,
        "archived": row.archived,
        "visibility": "private" if row.private else "public",
        "default_branch": row.default_branch,
        "forks_count": forks,
        "forks": forks,
        "open_issues_count": issues,
        "open_issues": issues,
    }


def full_repository(scope: Scope, row: Repository, permissions: Json) -> Json:
    """Return the `full-repository` document, with what the reader may do."""
    document = {
        **repository(scope, row),
        "permissions": permissions,
        "network_count": 0,
        "subscribers_count": 0,
    }
    if row.owner.kind == "Organization":
        document["organization"] = account(scope, row.owner)
    if row.parent is not None:
        document["parent"] = document["source"] = repository(scope, row.parent)
    return document


def push_repository(scope: Scope, row: Repository) -> Json:
    """Return the repository as push events carry it: two times as numbers, and the owner's `name`."""
    document = repository(scope, row)
    document["owner"] = {**document["owner"], "name": row.owner.login, "email": email(row.owner.login)}
    document["url"] = document["html_url"]
    document["created_at"] = row.created_at
    document["pushed_at"] = row.pushed_at
    document["stargazers"] = 0
    document["master_branch"] = row.default_branch
    if row.owner.kind == "Organization":
        document["organization"] = row.owner.login
    return document


def reference(row: Repository) -> Json:
    """Return the few fields by which installation events name a repository."""
    return {
        "id": row.id,
        "node_id": node_id("Repository", row.id),
        "name": row.name,
        "full_name": row.full_name,
        "private": row.private,
    }


def owner_fields(scope: Scope, row: Repository) -> Json:
    """Return the `organization` of a webhook, where the owner is one."""
    return {"organization": organization(scope, row.owner)} if row.owner.kind == "Organization" else {}


def email(login: str) -> str:
    """Return an account's private address."""
    return f"{login}@{_MAIL_HOST}"


def commit(scope: Scope, row: Repository, it: Commit) -> Json:
    """Return the `commit` document without its files."""
    api, html = api_url(scope, row), html_url(scope, row)
    return {
        "sha": it.sha,
        "node_id": node_id("Commit", it.sha),
        "commit": {
            "author": _signature(it.author),
            "committer": _signature(it.committer),
            "message": it.message,
            "tree": {"sha": it.tree, "url": f"{api}/git/trees/{it.tree}"},
            "url": f"{api}/git/commits/{it.sha}",
            "comment_count": 0,
            "verification": _UNSIGNED,
        },
        "url": f"{api}/commits/{it.sha}",
        "html_url": f"{html}/commit/{it.sha}",
        "comments_url": f"{api}/commits/{it.sha}/comments",
        "author": _author(scope, it.author),
        "committer": _author(scope, it.committer),
        "parents": [
            {"sha": sha, "url": f"{api}/commits/{sha}", "html_url": f"{html}/commit/{sha}"}
            for sha in it.parents
        ],
    }


_UNSIGNED: Json = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def commit_files(scope: Scope, row: Repository, sha: str) -> list[Json]:
    """Return the `files` of a commit: names and kinds of change, without line counts."""
    blob = f"{html_url(scope, row)}/blob/{sha}"
    changes = scope.store.changed_files(row.id, [sha])[sha]
    return [
        {
            "sha": sha,
            "filename": path,
            "status": kind,
            "additions": 0,
            "deletions": 0,
            "changes": 0,
            "blob_url": f"{blob}/{quote(path)}",
            "raw_url": f"{html_url(scope, row)}/raw/{sha}/{quote(path)}",
            "contents_url": f"{api_url(scope, row)}/contents/{quote(path)}?ref={sha}",
        }
        for kind, paths in changes.items()
        for path in paths
    ]


def _signature(it: Signature) -> Json:
    return {"name": it.name, "email": it.email, "date": it.date}


def _author(scope: Scope, it: Signature) -> Json | None:
    row = (
        scope.account(it.email.split("@")[0])
        if it.email.endswith("@users.noreply.github.localhost")
        else None
    )
    return account(scope, row) if row else None


def git_ref(scope: Scope, row: Repository, name: str, sha: str) -> Json:
    """Return the `git-ref` document of a full ref name."""
    api, kind = api_url(scope, row), scope.store.object_type(row.id, sha)
    return {
        "ref": name,
        "node_id": node_id("Ref", f"{row.id}:{name}"),
        "url": f"{api}/git/{quote(name)}",
        "object": {"sha": sha, "type": kind, "url": f"{api}/git/{kind}s/{sha}"},
    }


def content(scope: Scope, row: Repository, ref: str, path: str, entry: TreeEntry) -> Json:
    """Return an item of a `content-directory` listing; a file's content is added by `content_file`."""
    api, html = api_url(scope, row), html_url(scope, row)
    # A submodule is listed as a file: "this behavior exists for backwards compatibility purposes".
    kinds = {"blob": "file", "tree": "dir", "commit": "file"}
    kind = "symlink" if entry.mode == _SYMLINK else kinds[entry.kind]
    self_url = f"{api}/contents/{quote(path)}?ref={quote(ref)}"
    shown = "blob" if entry.kind == "blob" else "tree"
    git_url = f"{api}/git/{shown}s/{entry.sha}"
    page = f"{html}/{shown}/{quote(ref)}/{quote(path)}"
    return {
        "name": entry.name,
        "path": path,
        "sha": entry.sha,
        "size": entry.size or 0,
        "url": self_url,
        "html_url": page,
        "git_url": git_url,
        "download_url": f"{html}/raw/{quote(ref)}/{quote(path)}" if entry.kind == "blob" else None,
        "type": kind,
        "_links": {"self": self_url, "git": git_url, "html": page},
    }


def content_file(scope: Scope, row: Repository, ref: str, path: str, entry: TreeEntry) -> Json:
    """Return the `content-file` document; above a megabyte it has no content, and says so.

    A symbolic link has its `target` instead, a submodule its commit's address.
    """
    if entry.kind == "commit":
        document = {**content(scope, row, ref, path, entry), "type": "submodule"}
        url = scope.store.submodule_url(row.id, ref, path)
        return {**document, "submodule_git_url": url or html_url(scope, row)}
    if entry.mode == _SYMLINK:
        target = scope.store.blob(row.id, entry.sha).decode("utf-8", "replace")
        return {**content(scope, row, ref, path, entry), "target": target}
    if (entry.size or 0) > MAX_INLINE_BYTES:
        return {**content(scope, row, ref, path, entry), "content": "", "encoding": "none"}
    data = base64.encodebytes(scope.store.blob(row.id, entry.sha)).decode()
    return {**content(scope, row, ref, path, entry), "content": data, "encoding": "base64"}


def _count(scope: Scope, query: Any) -> int:
    return int(scope.session.scalar(query) or 0)
