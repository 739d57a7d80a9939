"""`/raas run` on pull requests: who may, which commit runs, and what the person is told."""

from __future__ import annotations

from typing import Any

import pytest
from github_lab import PROGRAM, SPOON, Lab

from github_app import triggers


@pytest.fixture
def pull(lab: Lab) -> dict[str, Any]:
    """A pull request of alice's own, `[skip raas]` so that only comments start anything."""
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature", message="[skip raas]")
    opened = lab.world.open_pull(SPOON, head="feature", user="alice")
    lab.work()
    return opened


@pytest.fixture
def fork(lab: Lab) -> dict[str, Any]:
    """A pull request from bob's fork."""
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    lab.world.fork(SPOON, "bob")
    lab.world.push("bob/spoon", {"run.py": "print('bob')"}, user="bob", branch="better")
    opened = lab.world.open_pull(SPOON, head="bob:better", user="bob")
    lab.work()
    return opened


def say(lab: Lab, pull: dict[str, Any], text: str, user: str = "alice") -> tuple[list[str], list[str]]:
    """Comment, and let it be answered: the reactions to it, and the replies."""
    said = lab.world.comment(SPOON, pull["number"], text, user=user)
    lab.work()
    reactions = [reaction["content"] for reaction in lab.world.reactions(SPOON, said["id"])]
    replies = [
        comment["body"]
        for comment in lab.world.comments(SPOON, pull["number"])
        if comment["user"]["type"] == "Bot"
    ]
    return reactions, replies


def test_a_writer_s_command_runs_the_head(lab: Lab, pull: dict[str, Any]) -> None:
    reactions, replies = say(lab, pull, "Let us see.\n\n/raas run")
    assert reactions == ["eyes", "rocket"]
    assert replies == []
    (job,) = lab.jobs
    assert (job.sha, job.pull_request, job.trigger) == (pull["head"]["sha"], pull["number"], "comment")
    assert (job.requested_by, job.head_repository) == ("alice", None)
    assert len(lab.check_runs(job.sha)) == 1


def test_asking_again_is_another_job(lab: Lab, pull: dict[str, Any]) -> None:
    say(lab, pull, "/raas run")
    say(lab, pull, f"/raas run {pull['head']['sha'][:7]}")
    assert len(lab.jobs) == 2


def test_one_comment_runs_a_commit_once(lab: Lab, pull: dict[str, Any]) -> None:
    say(lab, pull, f"/raas run\n/raas run {pull['head']['sha']}\n/raas run {pull['head']['sha'][:8]}")
    assert len(lab.jobs) == 1


@pytest.mark.parametrize("role", ["admin", "maintain", "write"])
def test_collaborators_who_may_write_may_run(lab: Lab, pull: dict[str, Any], role: str) -> None:
    lab.world.collaborator(SPOON, "carol", role)
    say(lab, pull, "/raas run", user="carol")
    assert [job.requested_by for job in lab.jobs] == ["carol"]


@pytest.mark.parametrize("role", ["triage", "read", "none"])
def test_nobody_else_may(lab: Lab, pull: dict[str, Any], role: str) -> None:
    lab.world.collaborator(SPOON, "carol", role)
    reactions, replies = say(lab, pull, "/raas run", user="carol")
    assert lab.jobs == []
    assert reactions == ["eyes", "confused"]
    (reply,) = replies
    assert "Only people with write permission" in reply
    assert "maintainers" in reply


def test_the_author_of_a_pull_request_alone_moves_nothing(lab: Lab, fork: dict[str, Any]) -> None:
    reactions, _ = say(lab, fork, f"/raas run {fork['head']['sha']}", user="bob")
    assert lab.jobs == []
    assert reactions == ["eyes", "confused"]


def test_a_fork_needs_the_whole_commit(lab: Lab, fork: dict[str, Any]) -> None:
    head = fork["head"]["sha"]
    for command in ("/raas run", f"/raas run {head[:7]}", f"/raas run {head[:39]}"):
        reactions, replies = say(lab, fork, command)
        assert reactions == ["eyes", "confused"]
        assert f"/raas run {head}" in replies[-1]
    assert lab.jobs == []
    reactions, _ = say(lab, fork, f"/raas run {head}")
    assert reactions == ["eyes", "rocket"]
    (job,) = lab.jobs
    assert (job.sha, job.head_repository) == (head, "bob/spoon")
    assert len(lab.check_runs(head)) == 1


def test_a_commit_pushed_after_the_review_does_not_run(lab: Lab, fork: dict[str, Any]) -> None:
    reviewed = fork["head"]["sha"]
    lab.world.push("bob/spoon", {"run.py": "print('evil')"}, user="bob", branch="better")
    reactions, replies = say(lab, fork, f"/raas run {reviewed}")
    assert lab.jobs == []
    assert reactions == ["eyes", "confused"]
    assert "is not the head" in replies[-1]


def test_a_commit_pushed_after_the_command_does_not_run(lab: Lab, fork: dict[str, Any]) -> None:
    """The job holds the commit itself, so what its branch points to later does not matter."""
    reviewed = fork["head"]["sha"]
    say(lab, fork, f"/raas run {reviewed}")
    lab.world.push("bob/spoon", {"run.py": "print('evil')"}, user="bob", branch="better")
    lab.work()
    assert [job.sha for job in lab.jobs] == [reviewed]


def test_a_closed_pull_request_is_refused(lab: Lab, pull: dict[str, Any]) -> None:
    lab.world.close_pull(SPOON, pull["number"], user="alice")
    reactions, replies = say(lab, pull, "/raas run")
    assert lab.jobs == []
    assert reactions == ["eyes", "confused"]
    assert "not open" in replies[0]


def test_an_issue_is_no_pull_request(lab: Lab) -> None:
    issue = lab.world.open_issue(SPOON, user="alice")
    reactions, replies = say(lab, issue, "/raas run")
    assert (lab.jobs, reactions, replies) == ([], [], [])


def test_a_misspelt_command_is_explained(lab: Lab, pull: dict[str, Any]) -> None:
    reactions, replies = say(lab, pull, "/raas rnu")
    assert reactions == ["eyes", "confused"]
    assert "`rnu` is no command" in replies[0]


def test_ordinary_comments_get_no_answer(lab: Lab, pull: dict[str, Any]) -> None:
    reactions, replies = say(lab, pull, "What does `/raas run` do?\n\n> /raas run\n\n```\n/raas run\n```")
    assert (lab.jobs, reactions, replies) == ([], [], [])


def test_a_foreign_owner_is_told(lab: Lab) -> None:
    lab.world.repository("mallory/spoon")
    lab.world.install(lab.app_id, "mallory/spoon")
    lab.world.push("mallory/spoon", PROGRAM, user="mallory")
    lab.world.push("mallory/spoon", {"a": "1"}, user="mallory", branch="feature")
    opened = lab.world.open_pull("mallory/spoon", head="feature", user="mallory")
    lab.world.comment("mallory/spoon", opened["number"], "/raas run", user="mallory")
    lab.work()
    assert lab.jobs == []
    reply = lab.world.comments("mallory/spoon", opened["number"])[-1]["body"]
    assert "Ask the host to add the owner" in reply


def test_a_commit_without_a_program_is_explained(lab: Lab) -> None:
    lab.world.push(SPOON, {"README.md": ""}, user="alice")
    lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature")
    opened = lab.world.open_pull(SPOON, head="feature", user="alice")
    _, replies = say(lab, opened, "/raas run")
    assert lab.jobs == []
    assert "Add a `run.py`" in replies[0]


def test_an_invalid_configuration_is_reported_as_a_check_run(lab: Lab, pull: dict[str, Any]) -> None:
    sha = lab.world.push(SPOON, {".raas.yml": "robto: x"}, user="alice", branch="feature")
    lab.work()
    reactions, _ = say(lab, pull, f"/raas run {sha}")
    assert reactions == ["eyes", "confused"]
    assert {run["conclusion"] for run in lab.check_runs(sha)} == {"failure"}


def test_a_lost_answer_does_not_make_a_second_reply(lab: Lab, pull: dict[str, Any]) -> None:
    lab.world.comment(SPOON, pull["number"], "/raas rnu", user="alice")
    lab.world.settle()
    lab.world.fault(method="POST", path="/issues/[0-9]+/comments", times=1, drop=True, applied=True)
    lab.work()
    assert not any("refused" in outcome for outcome in lab.outcomes)
    lab.make_due()
    lab.work()
    bodies = [comment["body"] for comment in lab.world.comments(SPOON, pull["number"])]
    assert len(bodies) == 2
    assert any("refused" in outcome for outcome in lab.outcomes)


def test_a_missing_reaction_holds_nothing_up(lab: Lab, pull: dict[str, Any]) -> None:
    lab.world.fault(method="POST", path="/reactions$", times=2, status=500)
    reactions, _ = say(lab, pull, "/raas run")
    assert reactions == []
    assert len(lab.jobs) == 1


def test_a_command_survives_github_s_absence(lab: Lab, pull: dict[str, Any]) -> None:
    lab.world.fault(method="GET", path="/permission$", times=3, drop=True)
    said = lab.world.comment(SPOON, pull["number"], "/raas run", user="alice")
    lab.world.settle()
    assert triggers.process_pending(lab.app)
    assert lab.jobs == []
    lab.make_due()
    lab.work()
    assert len(lab.jobs) == 1
    reactions = [reaction["content"] for reaction in lab.world.reactions(SPOON, said["id"])]
    assert reactions == ["eyes", "rocket"]
