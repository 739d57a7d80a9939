"""Every operation of the stand-in, used once in earnest and held to GitHub's official description."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest
from flask import Request, Response
from standin import Site, need_description
from werkzeug.test import EnvironBuilder

from demo.github.conformance import Conformance


def test_every_route_is_an_operation_of_githubs(hosted: Site) -> None:
    watch = hosted.github.hub.conformance
    assert watch is not None
    assert watch.unknown == []


def test_an_apps_own_pages(hosted: Site) -> None:
    name = hosted.repository()
    call, signed = hosted.world.call, hosted.jwt()
    assert call(signed, "GET", "/app")["slug"] == "raas"
    assert hosted.installation(name) in [it["id"] for it in call(signed, "GET", "/app/installations")]
    assert call(signed, "GET", f"/app/installations/{hosted.installation(name)}")["app_slug"] == "raas"
    assert call(signed, "GET", "/app/hook/config")["url"] == hosted.receiver.url
    hosted.world.settle()
    deliveries = call(signed, "GET", "/app/hook/deliveries?per_page=2")
    assert len(deliveries) == 2
    one = call(signed, "GET", f"/app/hook/deliveries/{deliveries[0]['id']}")
    assert one["request"]["headers"]["X-GitHub-Delivery"] == deliveries[0]["guid"]
    call(signed, "POST", f"/app/hook/deliveries/{one['id']}/attempts")


def test_tokens_and_what_they_reach(hosted: Site) -> None:
    name = hosted.repository()
    path = f"/app/installations/{hosted.installation(name)}/access_tokens"
    repo = name.split("/")[1]
    narrowed = {"repositories": [repo], "permissions": {"checks": "write"}}
    made = hosted.world.call(hosted.jwt(), "POST", path, **narrowed)
    assert made["permissions"] == {"metadata": "read", "checks": "write"}
    assert [it["name"] for it in made["repositories"]] == [repo]
    reached = hosted.world.call(made["token"], "GET", "/installation/repositories")
    assert [it["full_name"] for it in reached["repositories"]] == [name]
    hosted.world.call(made["token"], "DELETE", "/installation/token")
    assert hosted.world.api("GET", "/installation/repositories", token=made["token"]).status_code == 401


def test_repositories_and_code(hosted: Site) -> None:
    name = hosted.repository(private=True)
    files = {"src/a b.txt": "äöü", "big.bin": b"\0" * (1024 * 1024 + 1)}
    sha = hosted.world.push(name, files, user="alice", branch="topic/x", message="Zwei\n\nWörter")
    token, base = hosted.token(name), f"/repos/{name}"

    def get(path: str) -> Any:
        return hosted.world.call(token, "GET", base + path)

    assert get("")["visibility"] == "private"
    assert get("/branches/topic/x")["commit"]["sha"] == sha
    assert get("/commits?sha=topic/x")[0]["commit"]["message"] == "Zwei\n\nWörter"
    commit = get(f"/commits/{sha[:9]}")
    assert (commit["sha"], commit["author"]["login"]) == (sha, "alice")
    assert {it["filename"]: it["status"] for it in commit["files"]} == dict.fromkeys(files, "added")
    assert get("/git/ref/heads/topic/x")["object"]["sha"] == sha
    assert [it["ref"] for it in get("/git/matching-refs/heads/topic")] == ["refs/heads/topic/x"]
    assert {it["name"]: it["type"] for it in get("/contents/?ref=topic/x")}["src"] == "dir"
    assert [it["path"] for it in get("/contents/src?ref=topic/x")] == ["src/a b.txt"]
    assert get("/contents/src/a%20b.txt?ref=topic/x")["encoding"] == "base64"
    assert get("/contents/big.bin?ref=topic/x")["encoding"] == "none"
    assert get("/collaborators/alice/permission")["permission"] == "admin"


def test_the_source_archive_is_the_commit(hosted: Site) -> None:
    name = hosted.repository(private=True)
    sha = hosted.world.push(name, {"deep/file.txt": "content"}, user="alice")
    path = f"/repos/{name}/tarball/{sha}"
    answer = hosted.world.api("GET", path, token=hosted.token(name), allow_redirects=False)
    assert answer.status_code == 302
    # As on GitHub the archive is at an address that needs no token of its own, but carries one.
    address = answer.headers["Location"]
    archive = hosted.world._send("GET", address, None).content
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        folder = f"{name.replace('/', '-')}-{sha[:7]}"
        assert sorted(tar.getnames()) == [
            folder,
            f"{folder}/deep",
            f"{folder}/deep/file.txt",
            f"{folder}/run.py",
        ]
    bare = hosted.world._send("GET", address.split("?")[0], None)
    assert bare.status_code == 404


def test_pull_requests_and_conversations(hosted: Site) -> None:
    name = hosted.repository()
    base = f"/repos/{name}"
    hosted.world.push(name, {"a": "1"}, user="alice", branch="topic")
    opened = hosted.world.open_pull(name, head="topic", user="alice")
    token, number = hosted.token(name), opened["number"]
    call = hosted.world.call
    assert [it["number"] for it in call(token, "GET", f"{base}/pulls?head=alice:topic")] == [number]
    assert call(token, "GET", f"{base}/pulls/{number}")["mergeable_state"] == "clean"
    assert len(call(token, "GET", f"{base}/pulls/{number}/commits")) == 1
    assert call(token, "GET", f"{base}/issues/{number}")["pull_request"]["merged_at"] is None
    assert call(token, "GET", f"{base}/issues")[0]["number"] == number
    alice = hosted.world.user("alice").token
    assert call(alice, "PATCH", f"{base}/pulls/{number}", title="Better")["title"] == "Better"

    comment = hosted.world.comment(name, number, "/raas run", user="alice")
    one = f"{base}/issues/comments/{comment['id']}"
    assert call(token, "GET", one)["body"] == "/raas run"
    reply = call(token, "POST", f"{base}/issues/{number}/comments", body="Queued.")
    assert reply["performed_via_github_app"]["slug"] == "raas"
    assert reply["user"]["login"] == "raas[bot]"
    assert len(hosted.world.comments(name, number)) == 2
    reaction = call(token, "POST", f"{one}/reactions", content="eyes")
    again = hosted.world.api("POST", f"{one}/reactions", token=token, json={"content": "eyes"})
    assert (again.status_code, again.json()["id"]) == (200, reaction["id"])
    assert call(token, "GET", one)["reactions"]["eyes"] == 1
    call(token, "DELETE", f"{one}/reactions/{reaction['id']}")
    assert hosted.world.reactions(name, comment["id"]) == []
    assert call(alice, "PATCH", one, body="/raas status")["body"] == "/raas status"
    call(alice, "DELETE", one)
    assert [it["id"] for it in hosted.world.comments(name, number)] == [reply["id"]]
    hosted.world.open_issue(name, user="alice")
    hosted.world.close_pull(name, number, user="alice")
    hosted.world.reopen_pull(name, number, user="alice")
    hosted.world.merge_pull(name, number, user="alice")
    assert call(token, "GET", f"{base}/pulls/{number}")["merged_by"]["login"] == "alice"


def test_check_runs_from_queued_to_completed(hosted: Site) -> None:
    name = hosted.repository()
    sha = hosted.world.push(name, {"a": "1"}, user="alice")
    base, token, call = f"/repos/{name}", hosted.token(name), hosted.world.call
    run = hosted.check_run(name, sha, external_id="job-1", output={"title": "Queued", "summary": "3rd"})
    assert (run["status"], run["conclusion"], run["external_id"]) == ("queued", None, "job-1")
    one = f"{base}/check-runs/{run['id']}"
    call(token, "PATCH", one, status="in_progress", started_at="2026-01-31T12:00:00Z")
    note = {
        "path": "run.py",
        "start_line": 1,
        "end_line": 1,
        "annotation_level": "failure",
        "message": "boom",
    }
    for _ in range(2):
        output = {"title": "Failed", "summary": "It did", "annotations": [note] * 50}
        call(token, "PATCH", one, conclusion="failure", output=output)
    button = {"label": "Run again", "description": "Queue it once more", "identifier": "run_again"}
    done = call(token, "PATCH", one, actions=[button])
    assert (done["status"], done["conclusion"]) == ("completed", "failure")
    assert done["output"]["annotations_count"] == len(hosted.world.annotations(name, run["id"])) == 100
    assert call(token, "GET", one)["started_at"] == "2026-01-31T12:00:00Z"
    listed = call(token, "GET", f"{base}/commits/{sha}/check-runs?check_name=RaaS&app_id={hosted.app.id}")
    assert [it["id"] for it in listed["check_runs"]] == [run["id"]]
    suite = call(token, "GET", f"{base}/commits/{sha}/check-suites")["check_suites"][0]
    assert (suite["id"], suite["conclusion"]) == (run["check_suite"]["id"], "failure")
    assert call(token, "GET", f"{base}/check-suites/{suite['id']}")["head_branch"] == "main"
    assert call(token, "GET", f"{base}/check-suites/{suite['id']}/check-runs")["total_count"] == 1
    call(token, "POST", f"{one}/rerequest")
    call(token, "POST", f"{base}/check-suites/{suite['id']}/rerequest")


def test_the_rest_of_the_reference(hosted: Site) -> None:
    token = hosted.world.user("alice").token
    for path in ("/meta", "/zen", "/rate_limit", "/user", "/users/alice"):
        assert hosted.world.api("GET", path, token=token).status_code == 200


def _judged(body: dict[str, Any], status: int = 201) -> str:
    """What the validation says of a check run's creation that the stand-in accepted with an empty answer."""
    path = "/repos/{owner}/{repo}/check-runs"
    judge = Conformance([("POST", path)])
    request = Request(EnvironBuilder(path, method="POST", json=body).get_environ())
    judge.exchange(
        path, {"owner": "o", "repo": "r"}, request, Response("{}", status, content_type="application/json")
    )
    return "\n".join(map(str, judge.violations))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"head_sha": None}, "'head_sha' is a required property"),
        ({"status": "done"}, "'done' is not one of"),
        ({"output": {"title": "t", "summary": "s", "annotations": [{}] * 51}}, "is too long"),
        ({"output": {"title": "t", "summary": "s" * 65536}}, "is too long"),
        ({"actions": [{"label": "x" * 21, "description": "d", "identifier": "i"}]}, "is too long"),
    ],
)
def test_the_validation_sees_bad_requests(fields: dict[str, Any], reason: str) -> None:
    need_description()
    body = {"name": "RaaS", "head_sha": "0" * 40, **fields}
    said = _judged({name: value for name, value in body.items() if value is not None})
    assert "request" in said
    assert reason in said


def test_the_validation_sees_bad_answers_and_webhooks() -> None:
    need_description()
    assert "answer: : 'id' is a required property" in _judged({"name": "RaaS", "head_sha": "0" * 40})
    judge = Conformance([])
    judge.webhook("push", None, json.dumps({"ref": "refs/heads/main"}).encode())
    assert "'after' is a required property" in str(judge.violations[0])
