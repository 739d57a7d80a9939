"""What the stand-in refuses, with GitHub's status codes and words."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from standin import Site

from demo.github.apps import new_key_pair


def _said(hosted: Site, method: str, path: str, token: str | None = None, **options: Any) -> tuple[int, str]:
    answer = hosted.world.api(method, path, token=token, **options)
    assert answer.json()["documentation_url"].startswith("https://docs.github.com/")
    return answer.status_code, answer.json()["message"]


def test_unknown_tokens(hosted: Site) -> None:
    for token in ("ghs_unknown", "ghp_unknown", "plain"):
        assert _said(hosted, "GET", "/rate_limit", token) == (401, "Bad credentials")
    assert _said(hosted, "GET", "/user") == (401, "Requires authentication")


def test_an_expired_token(hosted: Site) -> None:
    token = hosted.token(hosted.repository())
    assert hosted.world.api("GET", "/installation/repositories", token=token).ok
    hosted.world.expire_tokens()
    assert _said(hosted, "GET", "/installation/repositories", token) == (401, "Bad credentials")


@pytest.mark.parametrize(
    ("claims", "status", "reason"),
    [
        ({"iat": int(time.time()) + 3600}, 401, "'Issued at' claim"),
        ({"iat": None}, 401, "'Issued at' claim"),
        ({"exp": int(time.time()) - 1}, 401, "'Expiration time' claim"),
        ({"exp": None}, 401, "'Expiration time' claim"),
        ({"exp": int(time.time()) + 3600}, 401, "too far in the future"),
        ({"iss": "999999999"}, 404, "Integration not found"),
        ({"iss": None}, 404, "Integration not found"),
    ],
)
def test_json_web_tokens_with_wrong_claims(
    hosted: Site, claims: dict[str, Any], status: int, reason: str
) -> None:
    said = _said(hosted, "GET", "/app", hosted.jwt(**claims))
    assert said[0] == status
    assert reason in said[1]


def test_json_web_tokens_that_the_app_did_not_sign(hosted: Site) -> None:
    claims = jwt.decode(hosted.jwt(), options={"verify_signature": False})
    foreign = jwt.encode(claims, new_key_pair()[0], algorithm="RS256")
    symmetric = jwt.encode(claims, "k" * 64, algorithm="HS256")
    unsigned = jwt.encode(claims, None, algorithm="none")
    for token in (foreign, symmetric, unsigned, "a.b.c", hosted.token(hosted.repository())):
        assert _said(hosted, "GET", "/app", token) == (401, "A JSON web token could not be decoded")


def test_the_client_id_may_issue_json_web_tokens(hosted: Site) -> None:
    assert hosted.world.api("GET", "/app", token=hosted.jwt(iss=hosted.app.client_id)).ok


def test_a_token_cannot_be_widened(hosted: Site) -> None:
    name, other = hosted.repository(), hosted.repository(owner="bob")
    path = f"/app/installations/{hosted.installation(name)}/access_tokens"
    for narrowing in (
        {"permissions": {"contents": "write"}},
        {"permissions": {"administration": "read"}},
        {"repositories": [other.split("/")[1]]},
        {"repository_ids": [1]},
    ):
        assert _said(hosted, "POST", path, hosted.jwt(), json=narrowing)[0] == 422


def test_a_missing_permission(hosted: Site) -> None:
    name = hosted.repository(private=True)
    sha = hosted.world.push(name, {"a": "1"}, user="alice")
    token = hosted.token(name, permissions={"contents": "read"})
    refused = (403, "Resource not accessible by integration")
    body = {"name": "RaaS", "head_sha": sha}
    assert _said(hosted, "POST", f"/repos/{name}/check-runs", token, json=body) == refused
    assert _said(hosted, "GET", f"/repos/{name}/pulls", token) == refused
    reading = hosted.token(name, permissions={"checks": "read"})
    assert _said(hosted, "POST", f"/repos/{name}/check-runs", reading, json=body) == refused


def test_a_repository_outside_of_the_installation(hosted: Site) -> None:
    token = hosted.token(hosted.repository())
    hidden = hosted.repository(private=True, install=False)
    public = hosted.repository(install=False)
    assert _said(hosted, "GET", f"/repos/{hidden}", token) == (404, "Not Found")
    assert hosted.world.api("GET", f"/repos/{public}", token=token).ok
    sha = hosted.world.api("GET", f"/repos/{public}/commits/main", token=token).json()["sha"]
    body = {"name": "RaaS", "head_sha": sha}
    refused = (403, "Resource not accessible by integration")
    assert _said(hosted, "POST", f"/repos/{public}/check-runs", token, json=body) == refused
    assert _said(hosted, "GET", f"/repos/{public}/installation", hosted.jwt()) == (404, "Not Found")


def test_a_token_narrowed_to_one_repository(hosted: Site) -> None:
    one, other = hosted.repository(private=True), hosted.repository(private=True)
    token = hosted.token(one, repositories=[one.split("/")[1]])
    assert hosted.world.api("GET", f"/repos/{one}", token=token).ok
    assert _said(hosted, "GET", f"/repos/{other}", token) == (404, "Not Found")


def test_people_see_and_do_what_their_role_allows(hosted: Site) -> None:
    name = hosted.repository(private=True)
    mallory = hosted.world.user("mallory").token
    assert _said(hosted, "GET", f"/repos/{name}", mallory) == (404, "Not Found")
    assert _said(hosted, "GET", f"/repos/{name}") == (404, "Not Found")
    hosted.world.collaborator(name, "mallory", "read")
    assert hosted.world.api("GET", f"/repos/{name}", token=mallory).ok
    assert _said(hosted, "GET", f"/repos/{name}/collaborators/alice/permission", mallory)[0] == 403
    hosted.world.collaborator(name, "mallory", "none")
    assert _said(hosted, "GET", f"/repos/{name}", mallory)[0] == 404


@pytest.mark.parametrize(
    ("role", "permission"),
    [
        ("admin", "admin"),
        ("maintain", "write"),
        ("write", "write"),
        ("triage", "read"),
        ("read", "read"),
    ],
)
def test_the_collaborator_endpoint_knows_four_words(hosted: Site, role: str, permission: str) -> None:
    name = hosted.repository(private=True)
    hosted.world.collaborator(name, f"with-{role}", role)
    path = f"/repos/{name}/collaborators/with-{role}/permission"
    found = hosted.world.call(hosted.token(name), "GET", path)
    assert (found["permission"], found["role_name"]) == (permission, role)


def test_strangers_permissions(hosted: Site) -> None:
    hosted.world.user("stranger")
    public, private = hosted.repository(), hosted.repository(private=True)
    for name, permission in ((public, "read"), (private, "none")):
        path = f"/repos/{name}/collaborators/stranger/permission"
        assert hosted.world.call(hosted.token(name), "GET", path)["permission"] == permission
    unknown = f"/repos/{public}/collaborators/nobody-at-all/permission"
    assert _said(hosted, "GET", unknown, hosted.token(public))[0] == 404


def test_check_runs_on_unknown_commits(hosted: Site) -> None:
    name = hosted.repository()
    sha = "0123456789" * 4
    body = {"name": "RaaS", "head_sha": sha}
    said = _said(hosted, "POST", f"/repos/{name}/check-runs", hosted.token(name), json=body)
    assert said == (422, f"No commit found for SHA: {sha}")
    assert _said(hosted, "GET", f"/repos/{name}/commits/{sha}", hosted.token(name)) == said
    assert _said(hosted, "GET", f"/repos/{name}/tarball/{sha}", hosted.token(name)) == (404, "Not Found")


def test_only_the_app_that_made_a_check_run_changes_it(hosted: Site) -> None:
    name = hosted.repository()
    sha = hosted.world.push(name, {"a": "1"}, user="alice")
    run = hosted.check_run(name, sha)
    other = hosted.world.app("Another", permissions={"checks": "write"})
    hosted.world.install(other.id, name)
    rival = Site(hosted.github, hosted.receiver, other)
    path = f"/repos/{name}/check-runs/{run['id']}"
    assert _said(hosted, "PATCH", path, rival.token(name), json={"status": "in_progress"})[0] == 403
    person = hosted.world.user("alice").token
    said = _said(hosted, "POST", f"/repos/{name}/check-runs", person, json={"name": "x", "head_sha": sha})
    assert said == (403, "You must authenticate via a GitHub App.")


def test_reactions_need_pull_requests_write(hosted: Site) -> None:
    """Seen with GitHub: `issues: write` does not do for a comment on a pull request."""
    name = hosted.repository()
    hosted.world.push(name, {"a": "1"}, user="alice", branch="topic")
    number = hosted.world.open_pull(name, head="topic", user="alice")["number"]
    comment = hosted.world.comment(name, number, "/raas run", user="alice")
    path = f"/repos/{name}/issues/comments/{comment['id']}/reactions"
    weak = hosted.token(name, permissions={"issues": "read"})
    assert _said(hosted, "POST", path, weak, json={"content": "eyes"})[0] == 403
    assert _said(hosted, "POST", path, hosted.token(name), json={"content": "shrug"})[0] == 422


@pytest.mark.parametrize("content", [b"{", b"[]", b'"text"', b"\xff"])
def test_bodies_that_are_no_json_objects(hosted: Site, content: bytes) -> None:
    name = hosted.repository()
    assert _said(hosted, "POST", f"/repos/{name}/check-runs", hosted.token(name), data=content)[0] == 400


def test_pull_requests_that_cannot_be(hosted: Site) -> None:
    name = hosted.repository()
    token = hosted.world.user("alice").token
    hosted.world.push(name, {"a": "1"}, user="alice", branch="topic")

    def opened(**fields: str) -> tuple[int, Any]:
        body = {"title": "T", "base": "main", **fields}
        answer = hosted.world.api("POST", f"/repos/{name}/pulls", token=token, json=body)
        return answer.status_code, answer.json().get("errors", [{}])[0].get("message")

    assert opened(head="nothing")[0] == 422
    assert opened(head="bob:topic")[0] == 422
    assert opened(head="topic", base="nothing")[0] == 422
    assert opened(head="main") == (422, "No commits between main and main")
    assert opened(head="topic")[0] == 201
    assert opened(head="topic") == (422, "A pull request already exists for alice:topic.")


def test_unknown_addresses(hosted: Site) -> None:
    name = hosted.repository()
    for path in ("/nothing", f"/repos/{name}/nothing", f"/repos/{name}/issues/99", "/repos/no/body"):
        assert _said(hosted, "GET", path, hosted.token(name)) == (404, "Not Found")


def test_suspended_and_removed_installations(hosted: Site) -> None:
    name = hosted.repository(owner="carol")
    token, installation = hosted.token(name), hosted.installation(name)
    hosted.world.suspend(installation)
    suspended = (403, "This installation has been suspended")
    assert _said(hosted, "GET", f"/repos/{name}", token) == suspended
    assert (
        _said(hosted, "POST", f"/app/installations/{installation}/access_tokens", hosted.jwt()) == suspended
    )
    hosted.world.unsuspend(installation)
    assert hosted.world.api("GET", f"/repos/{name}", token=token).ok
    hosted.world.uninstall(installation)
    assert _said(hosted, "GET", f"/repos/{name}", token) == (401, "Bad credentials")
    assert _said(hosted, "GET", f"/app/installations/{installation}", hosted.jwt()) == (404, "Not Found")


def test_pages_of_lists(hosted: Site) -> None:
    name = hosted.repository()
    number = hosted.world.open_issue(name, user="alice")["number"]
    for index in range(5):
        hosted.world.comment(name, number, f"comment {index}", user="alice")
    path, seen = f"/repos/{name}/issues/{number}/comments?per_page=2", []
    answer = hosted.world.api("GET", path)
    while True:
        seen += [it["body"] for it in answer.json()]
        if "next" not in answer.links:
            break
        answer = hosted.world._send("GET", answer.links["next"]["url"], None)
    assert seen == [f"comment {index}" for index in range(5)]
    assert set(answer.links) == {"prev", "first"}
    late = hosted.world.api("GET", f"{path}&since=2999-01-01T00:00:00Z")
    assert late.json() == []


def test_conditional_requests_cost_nothing_to_read_twice(hosted: Site) -> None:
    name = hosted.repository()
    first = hosted.world.api("GET", f"/repos/{name}")
    again = hosted.world.api("GET", f"/repos/{name}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
