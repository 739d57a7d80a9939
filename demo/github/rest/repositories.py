"""Reference: Repositories, Commits, Contents, Git references, Collaborators, and the source archives."""

import time

import jwt
from flask import Blueprint, Response, request

from demo.github import access
from demo.github.errors import ApiError, not_found
from demo.github.git_store import TreeEntry
from demo.github.hub import Hub
from demo.github.models import ROLES, Repository
from demo.github.rest import paging
from demo.github.rest.api import Answer, Api, Call
from demo.github.scope import Scope
from demo.github.settings import CODELOAD_LIFETIME_S
from demo.github.shapes import accounts, repositories
from demo.github.shapes.accounts import Json

_PERMISSION_NAMES = ("admin", "maintain", "push", "triage", "pull")
_ROLE_OF = {"admin": "admin", "maintain": "maintain", "push": "write", "triage": "triage", "pull": "read"}


def add(api: Api) -> None:
    """Register the chapter."""
    repo = "/repos/<owner>/<repo>"
    api.route("GET", repo)(get_repository)
    api.route("GET", f"{repo}/branches/<path:branch>")(get_branch)
    api.route("GET", f"{repo}/commits")(list_commits)
    api.route("GET", f"{repo}/commits/<path:ref>")(get_commit)
    api.route("GET", f"{repo}/contents/")(get_content)
    api.route("GET", f"{repo}/contents/<path:path>")(get_content)
    api.route("GET", f"{repo}/git/ref/<path:ref>")(get_ref)
    api.route("GET", f"{repo}/git/matching-refs/<path:ref>")(list_refs)
    api.route("GET", f"{repo}/tarball")(get_tarball)
    api.route("GET", f"{repo}/tarball/<path:ref>")(get_tarball)
    api.route("GET", f"{repo}/collaborators/<username>/permission")(get_permission)


def _role_flags(role: str) -> dict[str, bool]:
    has = ROLES.index(role)
    return {name: has >= ROLES.index(_ROLE_OF[name]) for name in _PERMISSION_NAMES}


def _caller_role(call: Call, row: Repository) -> str:
    if isinstance(call.who, access.Person):
        has = access.role(call.scope, call.who.account, row)
        return "read" if has == "none" and not row.private else has
    return "read" if not row.private else "none"


def get_repository(call: Call, owner: str, repo: str) -> Answer:
    """Tell of a repository."""
    row = call.repository(owner, repo)
    return Answer(repositories.full_repository(call.scope, row, _role_flags(_caller_role(call, row))))


def get_branch(call: Call, owner: str, repo: str, branch: str) -> Answer:
    """Tell where a branch is."""
    row = call.repository(owner, repo, {"contents": "read"})
    sha = call.scope.store.resolve(row.id, f"refs/heads/{branch}")
    if sha is None:
        raise ApiError(404, "Branch not found")
    it = repositories.commit(call.scope, row, call.scope.store.commit(row.id, sha))
    url = f"{repositories.api_url(call.scope, row)}/branches/{branch}"
    document = {
        "name": branch,
        "commit": it,
        "_links": {"self": url, "html": f"{repositories.html_url(call.scope, row)}/tree/{branch}"},
        "protected": False,
        "protection": {"enabled": False},
        "protection_url": f"{url}/protection",
    }
    return Answer(document)


def list_commits(call: Call, owner: str, repo: str) -> Answer:
    """List commits, newest first, from `sha` (a branch or a SHA) or the default branch."""
    row = call.repository(owner, repo, {"contents": "read"})
    sha = call.scope.store.resolve(row.id, request.args.get("sha", row.default_branch))
    if sha is None:
        raise ApiError(409, "Git Repository is empty.") if "sha" not in request.args else not_found()
    commits, headers = paging.page(call.hub.settings, call.scope.store.log(row.id, sha, limit=1000))
    return Answer([repositories.commit(call.scope, row, it) for it in commits], headers=headers)


def get_commit(call: Call, owner: str, repo: str, ref: str) -> Answer:
    """Tell of one commit."""
    row = call.repository(owner, repo, {"contents": "read"})
    sha = call.commit_sha(row, ref)
    document = repositories.commit(call.scope, row, call.scope.store.commit(row.id, sha))
    document["stats"] = {"additions": 0, "deletions": 0, "total": 0}
    document["files"] = repositories.commit_files(call.scope, row, sha)
    return Answer(document)


def get_content(call: Call, owner: str, repo: str, path: str = "") -> Answer:
    """Return a file with its content, or a folder's listing."""
    row = call.repository(owner, repo, {"contents": "read"})
    ref = request.args.get("ref") or row.default_branch
    sha = call.scope.store.resolve(row.id, ref)
    if sha is None:
        raise ApiError(404, f"No commit found for the ref {ref}")
    path = path.strip("/")
    if not path:
        return _folder(call, row, ref, sha, "")
    parent, _, name = path.rpartition("/")
    entry = next((it for it in call.scope.store.tree(row.id, sha, parent) if it.name == name), None)
    if entry is None:
        raise not_found()
    if entry.kind == "tree":
        return _folder(call, row, ref, sha, path)
    return Answer(repositories.content_file(call.scope, row, ref, path, entry))


def _folder(call: Call, row: Repository, ref: str, sha: str, path: str) -> Answer:
    def listed(entry: TreeEntry) -> Json:
        inner = f"{path}/{entry.name}" if path else entry.name
        return repositories.content(call.scope, row, ref, inner, entry)

    return Answer([listed(entry) for entry in call.scope.store.tree(row.id, sha, path)])


def get_ref(call: Call, owner: str, repo: str, ref: str) -> Answer:
    """Tell where one ref is: `heads/BRANCH`, `tags/TAG` or `pull/N/head`."""
    row = call.repository(owner, repo, {"contents": "read"})
    name = f"refs/{ref}"
    sha = call.scope.store.refs(row.id, name).get(name)
    if sha is None:
        raise not_found()
    return Answer(repositories.git_ref(call.scope, row, name, sha))


def list_refs(call: Call, owner: str, repo: str, ref: str) -> Answer:
    """List the refs that begin so."""
    row = call.repository(owner, repo, {"contents": "read"})
    every = call.scope.store.refs(row.id, "refs/heads", "refs/tags", "refs/pull")
    found = [(name, sha) for name, sha in every.items() if name.startswith(f"refs/{ref}")]
    return Answer([repositories.git_ref(call.scope, row, name, sha) for name, sha in found])


def get_permission(call: Call, owner: str, repo: str, username: str) -> Answer:
    """Tell what a person may do: this, and not `author_association`, decides who moves a robot."""
    row = call.repository(owner, repo, {"metadata": "read"}, user_role="write")
    user = call.scope.account(username)
    if user is None or user.kind != "User":
        raise ApiError(404, f"{username} is not a user")
    has = access.role(call.scope, user, row)
    if has == "none" and not row.private:
        has = "read"
    document = {
        "permission": access.REPORTED_PERMISSION.get(has, has),
        "role_name": has,
        "user": {**accounts.account(call.scope, user), "role_name": has, "permissions": _role_flags(has)},
    }
    return Answer(document)


def get_tarball(call: Call, owner: str, repo: str, ref: str = "") -> Answer:
    """Redirect to the archive of a commit; the address of a private one is good for five minutes."""
    row = call.repository(owner, repo, {"contents": "read"})
    ref = ref or row.default_branch
    sha = call.scope.store.resolve(row.id, ref)
    if sha is None:
        raise not_found()
    address = f"{call.hub.settings.public_url}/_codeload/{row.full_name}/legacy.tar.gz/{sha}"
    if row.private:
        claims = {"sub": f"{row.id} {sha}", "exp": int(time.time()) + CODELOAD_LIFETIME_S}
        address += "?token=" + jwt.encode(claims, call.hub.settings.signing_key, algorithm="HS256")
    return Answer(None, 302, {"Location": address})


def codeload(hub: Hub) -> Blueprint:
    """Return the route that serves archives: a host of its own at GitHub, which looks at no Authorization."""
    routes = Blueprint("codeload", __name__, url_prefix="/_codeload")

    @routes.get("/<owner>/<repo>/legacy.tar.gz/<sha>")
    def archive(owner: str, repo: str, sha: str) -> Response:
        with hub.read() as scope:
            row = scope.repository(owner, repo)
            known = row is not None and scope.store.resolve(row.id, sha) == sha
            if row is None or not known or not _may_load(scope, row, sha):
                return Response("404: Not Found", 404, content_type="text/plain")
            folder = f"{row.owner.login}-{row.name}-{sha[:7]}"
            data = scope.store.archive(row.id, sha, folder)
        disposition = {"Content-Disposition": f"attachment; filename={folder}.tar.gz"}
        return Response(data, headers=disposition, content_type="application/x-gzip")

    return routes


def _may_load(scope: Scope, row: Repository, sha: str) -> bool:
    if not row.private:
        return True
    try:
        claims = jwt.decode(request.args.get("token", ""), scope.settings.signing_key, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        return False
    return bool(claims["sub"] == f"{row.id} {sha}")
