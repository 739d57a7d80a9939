"""Webhooks: who is told what, once, signed, recorded, and again on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from standin import SECRET, Received, Site, need_description, until

from demo.github.conformance import Conformance
from demo.github.git_store import NO_SHA


def _last(heard: list[Received], event: str) -> Received:
    return [it for it in heard if it.event == event][-1]


@pytest.fixture
def fresh(hosted: Site) -> Iterator[Site]:
    """The stand-in with an empty receiver."""
    hosted.world.settle()
    hosted.receiver.received.clear()
    yield hosted
    hosted.receiver.status = 202
    hosted.receiver.hold.set()
    hosted.world.settle()


def test_what_every_webhook_carries(fresh: Site) -> None:
    name = fresh.repository()
    heard = fresh.heard(name)
    assert [it.event for it in heard] == ["push", "check_suite.requested"]
    headers = heard[0].headers
    assert all(it.signed_with(SECRET) for it in heard)
    assert not heard[0].signed_with("another secret")
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["content-type"] == "application/json"
    assert headers["x-github-hook-installation-target-id"] == str(fresh.app.id)
    assert headers["x-github-hook-installation-target-type"] == "integration"
    assert headers["x-github-hook-id"].isdigit()
    assert len({it.headers["x-github-delivery"] for it in heard}) == 2
    assert {it.payload["installation"]["id"] for it in heard} == {fresh.installation(name)}


def test_pushes(fresh: Site) -> None:
    name = fresh.repository()
    first = fresh.world.push(name, {"a": "1"}, user="alice", branch="topic", message="One")
    second = fresh.world.push(name, {"b": "2"}, user="alice", branch="topic", delete=["run.py"])
    push = _last(fresh.heard(name), "push").payload
    assert (push["ref"], push["before"], push["after"]) == ("refs/heads/topic", first, second)
    assert (push["created"], push["deleted"], push["forced"]) == (False, False, False)
    assert [it["id"] for it in push["commits"]] == [second]
    assert (push["head_commit"]["added"], push["head_commit"]["removed"]) == (["b"], ["run.py"])
    assert push["pusher"]["name"] == push["sender"]["login"] == "alice"
    fresh.world.push(name, {"c": "3"}, user="alice", branch="topic", force=True)
    assert _last(fresh.heard(name), "push").payload["forced"] is True
    fresh.world.delete_branch(name, "topic", user="alice")
    gone = _last(fresh.heard(name), "push").payload
    assert (gone["deleted"], gone["after"], gone["head_commit"]) == (True, NO_SHA, None)
    fresh.world.tag(name, "v1", user="alice")
    heard = fresh.heard(name)
    assert heard[-1].payload["ref"] == "refs/tags/v1"
    assert heard[-1].event == "push", "a tag asks for no checks"


def test_pull_requests_of_the_same_repository(fresh: Site) -> None:
    name = fresh.repository()
    before = fresh.world.push(name, {"a": "1"}, user="alice", branch="topic")
    number = fresh.world.open_pull(name, head="topic", user="alice")["number"]
    after = fresh.world.push(name, {"a": "2"}, user="alice", branch="topic")
    fresh.world.close_pull(name, number, user="alice")
    fresh.world.reopen_pull(name, number, user="alice")
    fresh.world.merge_pull(name, number, user="alice")
    heard = [it for it in fresh.heard(name) if it.event.startswith("pull_request")]
    actions = ["opened", "synchronize", "closed", "reopened", "closed"]
    assert [it.payload["action"] for it in heard] == actions
    moved = heard[1].payload
    assert (moved["before"], moved["after"], moved["pull_request"]["head"]["sha"]) == (before, after, after)
    assert heard[2].payload["pull_request"]["merged"] is False
    assert heard[4].payload["pull_request"]["merged"] is True


def test_pull_requests_from_forks(fresh: Site) -> None:
    name = fresh.repository()
    fork = fresh.world.fork(name, "bob")["full_name"]
    fresh.world.push(fork, {"a": "1"}, user="bob", branch="idea")
    fresh.world.open_pull(name, head="bob:idea", user="bob")
    fresh.world.push(fork, {"a": "2"}, user="bob", branch="idea")
    heard = fresh.heard(name)[2:]
    # Checks hears nothing of pushes to forks: only the pull request tells.
    assert [it.event for it in heard] == ["pull_request.opened", "pull_request.synchronize"]
    pull = heard[0].payload["pull_request"]
    assert (pull["head"]["repo"]["full_name"], pull["head"]["repo"]["fork"]) == (fork, True)
    assert pull["author_association"] == "NONE"
    assert fresh.heard(fork) == []


def test_comments(fresh: Site) -> None:
    name = fresh.repository()
    fresh.world.push(name, {"a": "1"}, user="alice", branch="topic")
    number = fresh.world.open_pull(name, head="topic", user="alice")["number"]
    fresh.world.comment(name, number, "/raas run", user="bob")
    told = _last(fresh.heard(name), "issue_comment.created").payload
    assert (told["comment"]["body"], told["comment"]["user"]["login"]) == ("/raas run", "bob")
    assert "pull_request" in told["issue"]
    assert "head" not in told["issue"]["pull_request"], "the payload says no SHA"
    plain = fresh.world.open_issue(name, user="bob")["number"]
    fresh.world.comment(name, plain, "/raas run", user="bob")
    assert "pull_request" not in _last(fresh.heard(name), "issue_comment.created").payload["issue"]


def test_check_runs_and_buttons(fresh: Site) -> None:
    name = fresh.repository()
    sha = fresh.world.push(name, {"a": "1"}, user="alice")
    button = {"label": "Run again", "description": "Queue it once more", "identifier": "run_again"}
    run = fresh.check_run(name, sha, conclusion="success", actions=[button])
    fresh.world.rerequest(name, run["id"], user="bob")
    fresh.world.rerequest_suite(name, run["check_suite"]["id"], user="bob")
    fresh.world.press(name, run["id"], "run_again", user="bob")
    heard = [it for it in fresh.heard(name) if it.headers["x-github-event"].startswith("check")]
    assert [it.event for it in heard][-6:] == [
        "check_run.created",
        "check_run.completed",
        "check_suite.completed",
        "check_run.rerequested",
        "check_suite.rerequested",
        "check_run.requested_action",
    ]
    pressed = heard[-1].payload
    assert (pressed["requested_action"], pressed["sender"]["login"]) == ({"identifier": "run_again"}, "bob")


def test_installations(fresh: Site) -> None:
    first = fresh.repository(owner="dora")
    second = fresh.repository(owner="dora", install=False)
    installation = fresh.world.install(fresh.app.id, first, second)
    fresh.world.uninstall(installation, second)
    fresh.world.suspend(installation)
    fresh.world.unsuspend(installation)
    fresh.world.uninstall(installation)
    fresh.world.settle()
    told = [it for it in fresh.receiver.received if it.event.startswith("installation")]
    assert [it.event for it in told] == [
        "installation.created",
        "installation_repositories.added",
        "installation_repositories.removed",
        "installation.suspend",
        "installation.unsuspend",
        "installation.deleted",
    ]
    assert [it["full_name"] for it in told[1].payload["repositories_added"]] == [second]


def test_repositories_that_change(fresh: Site) -> None:
    name = fresh.repository(owner="erin")
    watcher = fresh.world.app(
        "Watcher", webhook_url=fresh.receiver.url, events=["repository"], permissions={"metadata": "read"}
    )
    fresh.world.install(watcher.id, name)
    fresh.world.change_repository(name, user="erin", private=True)
    fresh.world.change_repository(name, user="erin", archived=True)
    renamed = fresh.world.change_repository(name, user="erin", name="other")["full_name"]
    fresh.world.settle()
    received = [it for it in fresh.receiver.received if it.headers["x-github-event"] == "repository"]
    target = "x-github-hook-installation-target-id"
    told = [it for it in received if it.headers[target] == str(watcher.id)]
    assert [it.payload["action"] for it in told] == ["privatized", "archived", "renamed"]
    assert told[2].payload["changes"]["repository"]["name"]["from"] == name.split("/")[1]
    assert told[2].payload["repository"]["full_name"] == renamed == "erin/other"


def test_repositories_that_move_and_go(fresh: Site) -> None:
    name, world = fresh.repository(owner="ivan"), fresh.world
    fork = world.fork(name, "judy")["full_name"]
    world.push(fork, {"a": "1"}, user="judy", branch="idea")
    number = world.open_pull(name, head="judy:idea", user="judy")["number"]
    world.delete_repository(fork, user="judy")
    pull = world.api("GET", f"/repos/{name}/pulls/{number}").json()
    assert (pull["head"]["repo"], pull["head"]["label"], pull["state"]) == (None, "judy:idea", "open")
    assert world.api("GET", f"/repos/{fork}").status_code == 404
    fresh.check_run(name, pull["head"]["sha"])

    world.organization("lab", owner="kim")
    moved = world.change_repository(name, user="ivan", owner="lab")["full_name"]
    assert moved == f"lab/{name.split('/')[1]}"
    world.install(fresh.app.id, account="lab")
    sha = world.push(moved, {"b": "2"}, user="kim")
    push = _last(fresh.heard(moved), "push").payload
    assert (push["after"], push["organization"]["login"]) == (sha, "lab")
    world.delete_repository(moved, user="kim")
    gone = _last(fresh.heard(moved), "repository.deleted").payload
    assert gone["repository"]["full_name"] == moved
    assert "installation_repositories.removed" in fresh.receiver.events()


def test_members_of_organizations(fresh: Site) -> None:
    fresh.world.organization("team", owner="lea")
    fresh.world.member("team", "max")
    name = fresh.world.repository("team/robot", private=True)["full_name"]
    fresh.world.push(name, {"a": "1"}, user="lea")
    roles = {}
    for login in ("lea", "max", "stranger"):
        fresh.world.user(login)
        path = f"/repos/{name}/collaborators/{login}/permission"
        roles[login] = fresh.world.call(fresh.world.reader(name), "GET", path)["permission"]
    assert roles == {"lea": "admin", "max": "read", "stranger": "none"}


def test_apps_hear_what_they_subscribe_to_and_may_know(fresh: Site) -> None:
    name = fresh.repository(owner="frank")
    deaf = fresh.world.app("Deaf", webhook_url=fresh.receiver.url, permissions={"contents": "read"})
    poor = fresh.world.app("Poor", webhook_url=fresh.receiver.url, events=["push", "pull_request"])
    for app in (deaf, poor):
        fresh.world.install(app.id, name)
    fresh.world.settle()
    fresh.receiver.received.clear()
    fresh.world.push(name, {"a": "1"}, user="frank")
    targets = {it.headers["x-github-hook-installation-target-id"] for it in fresh.heard(name)}
    assert targets == {str(fresh.app.id)}


def test_a_ping(fresh: Site) -> None:
    fresh.world.ping(fresh.app.id)
    fresh.world.settle()
    assert fresh.receiver.events() == ["ping"]
    assert fresh.receiver.received[0].payload["hook"]["config"]["url"] == fresh.receiver.url


def test_a_delivery_is_sent_once_and_again_only_on_demand(fresh: Site) -> None:
    fresh.receiver.status = 500
    fresh.world.ping(fresh.app.id)
    failed = fresh.world.settle()[-1]
    assert (failed.status, failed.status_code) == ("Invalid HTTP Response: 500", 500)
    assert failed.response == "thanks"
    listed = fresh.world.call(fresh.jwt(), "GET", "/app/hook/deliveries?status=failure&per_page=1")
    assert listed[0]["guid"] == failed.guid
    assert len(fresh.receiver.received) == 1
    fresh.receiver.status = 200
    fresh.world.call(fresh.jwt(), "POST", f"/app/hook/deliveries/{failed.id}/attempts")
    again = fresh.world.settle()[-1]
    assert (again.guid, again.redelivery, again.status) == (failed.guid, True, "OK")
    assert again.id != failed.id
    bodies = {it.body for it in fresh.receiver.received}
    assert (len(fresh.receiver.received), len(bodies)) == (2, 1)


def test_deliveries_are_listed_by_cursor(fresh: Site) -> None:
    for _ in range(3):
        fresh.world.ping(fresh.app.id)
    fresh.world.settle()
    newest = fresh.world.api("GET", "/app/hook/deliveries?per_page=2", token=fresh.jwt())
    next_page = newest.links["next"]["url"].removeprefix(fresh.github.api_url)
    older = fresh.world.call(fresh.jwt(), "GET", next_page)
    ids = [it["id"] for it in newest.json() + older]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) >= 4


def test_a_receiver_that_is_down(fresh: Site) -> None:
    fresh.world.app_webhook(fresh.app.id, "http://127.0.0.1:9/")
    fresh.world.ping(fresh.app.id)
    assert fresh.world.settle()[-1].status == "failed to connect to host"
    fresh.world.app_webhook(fresh.app.id, fresh.receiver.url)
    fresh.world.redeliver(fresh.world.deliveries()[-1].id)
    assert fresh.world.settle()[-1].status == "OK"


def test_a_slow_receiver_delays_nobody_else(fresh: Site) -> None:
    settings = fresh.github.hub.settings
    assert settings.hook_timeout_s == 10, "GitHub's own patience"
    name = fresh.repository(owner="gina")
    fresh.world.settle()
    fresh.receiver.hold.clear()
    other = fresh.world.app(
        "Quick", webhook_url="http://127.0.0.1:9/", events=["push"], permissions={"contents": "read"}
    )
    fresh.world.install(other.id, name)
    until(lambda: [it for it in fresh.world.deliveries() if it.event == "installation"][-1].status)
    sha = fresh.world.push(name, {"a": "1"}, user="gina")
    until(lambda: fresh.receiver.received[-1].payload.get("after") == sha)
    waiting = [it for it in fresh.world.deliveries("push") if it.status is None]
    assert len(waiting) == 1, "pushing did not wait for the receiver, and the other App was told meanwhile"
    fresh.receiver.hold.set()
    assert fresh.world.settle()[-1].status is not None


def test_payloads_fit_the_official_description(fresh: Site) -> None:
    """The contract tests watch over the stand-in they use; this watches what this module made it send."""
    need_description()
    judge = Conformance([])
    for delivery in fresh.world.deliveries():
        judge.webhook(delivery.event, delivery.action, json.dumps(delivery.payload).encode())
    assert judge.payloads > 50
    assert not judge.violations, "\n".join(map(str, judge.violations))
