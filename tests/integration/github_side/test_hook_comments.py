"""`/raas run` on pull requests: who may, which commit runs, and what the person is told."""

from __future__ import annotations

from typing import Any

import pytest
from github_lab import PROGRAM, ROBOT, SPOON, Lab

from github_app import claims, triggers


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
    """A pull request from bob's fork, likewise."""
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    lab.world.fork(SPOON, "bob")
    skip = "[skip raas]"
    lab.world.push("bob/spoon", {"run.py": "print('bob')"}, user="bob", branch="better", message=skip)
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


def test_options_change_what_the_file_says(lab: Lab, pull: dict[str, Any]) -> None:
    say(lab, pull, "/RAAS  run --robot Goose,fast --timeout 30s -n 3")
    (job,) = lab.jobs
    assert (job.labels, job.timeout_s, job.sessions) == (["fast", "goose", "pendulum"], 30.0, 3)
    assert (job.config["robot"], job.config["timeout"]) == (["pendulum", "goose", "fast"], 30.0)


def test_a_simulation_runs_on_a_simulated_robot_only(lab: Lab, pull: dict[str, Any]) -> None:
    file = {".raas.yml": "version: 1\nrobot: [pendulum, goose]\n"}
    lab.world.push(SPOON, file, user="alice", branch="feature", message="[skip raas]")
    say(lab, pull, "/raas run --sim\n/raas run")
    simulated, real = lab.jobs
    assert (simulated.labels, real.labels) == (["pendulum", "simulated"], ["goose", "pendulum"])
    names = {run["name"] for run in lab.check_runs(simulated.sha)}
    assert names == {"RaaS: pendulum, simulated", "RaaS: pendulum, goose"}
    hardware = claims.served_labels("duck", ["pendulum"], ROBOT.model_copy(update={"plant": "hardware"}))
    assert not claims.serves(hardware, simulated.lane)
    assert claims.serves(claims.served_labels("duck", [], ROBOT), simulated.lane)


REFUSED_OPTIONS = {
    "--timeout 601": "600 s on the robot at most",
    "-n 11": "10 sessions in one job at most",
    "--ref nowhere": "no branch or tag `nowhere`",
    "--robot " + ",".join(f"label-of-some-length-{n}" for n in range(7)): "use fewer",
    "--fast": "`--fast` is no option",
}


def test_options_that_are_refused_are_explained(lab: Lab, pull: dict[str, Any]) -> None:
    command = "\n".join(f"/raas run {option}" for option in REFUSED_OPTIONS)
    reactions, (reply,) = say(lab, pull, command)
    assert (lab.jobs, reactions) == ([], ["eyes", "confused"])
    assert [words for words in REFUSED_OPTIONS.values() if words not in reply] == []


def test_another_branch_runs_by_its_name_and_the_reply_says_where(lab: Lab, fork: dict[str, Any]) -> None:
    main = lab.world.push(SPOON, {"b": "1"}, user="alice", message="[skip raas]")
    reactions, (reply,) = say(lab, fork, "/raas run --ref main")
    (job,) = lab.jobs
    assert (job.sha, job.ref, job.pull_request, job.head_repository) == (main, "main", None, None)
    assert reactions == ["eyes", "rocket"]
    assert f"/commit/{main}" in reply


def test_a_reference_is_never_a_commit_of_a_fork(lab: Lab, fork: dict[str, Any]) -> None:
    head = fork["head"]["sha"]
    for ref in (head, head[:8], f"pull/{fork['number']}/head"):
        _, replies = say(lab, fork, f"/raas run --ref {ref}")
        assert "no branch or tag" in replies[-1]
    assert lab.jobs == []


def test_a_comment_cancels_its_pull_request_s_jobs(lab: Lab, pull: dict[str, Any]) -> None:
    lab.world.push(SPOON, {"c": "1"}, user="alice")
    say(lab, pull, "/raas run\n/raas run -n 2")
    reactions, replies = say(lab, pull, "/raas cancel")
    assert reactions == ["eyes", "rocket"]
    assert replies == []
    states = {(job.trigger, job.conclusion, job.reason) for job in lab.jobs}
    assert states == {("push", None, None), ("comment", "cancelled", "Cancelled by alice in a comment.")}
    _, replies = say(lab, pull, "/raas cancel")
    assert "Nothing waits or runs" in replies[-1]


def test_a_comment_cancels_one_job_of_its_own_repository(lab: Lab, pull: dict[str, Any]) -> None:
    lab.world.repository("alice/other")
    lab.world.install(lab.app_id, "alice/other")
    lab.world.push("alice/other", PROGRAM, user="alice")
    say(lab, pull, "/raas run")
    foreign, own = lab.jobs
    reactions, replies = say(lab, pull, f"/raas cancel {foreign.id}")
    assert (lab.jobs[0].status, reactions) == ("queued", ["eyes", "confused"])
    assert f"Job {foreign.id} is none of this repository" in replies[-1]
    say(lab, pull, f"/raas cancel #{own.id}")
    assert [job.conclusion for job in lab.jobs] == [None, "cancelled"]


def test_nobody_else_may_cancel(lab: Lab, pull: dict[str, Any]) -> None:
    say(lab, pull, "/raas run")
    reactions, replies = say(lab, pull, "/raas cancel\n/raas cancel 1", user="carol")
    assert (lab.jobs[0].status, reactions) == ("queued", ["eyes", "confused"])
    assert len(replies) == 1


def test_status_and_help_are_answered_in_one_reply(lab: Lab, pull: dict[str, Any]) -> None:
    reactions, replies = say(lab, pull, "/raas status\n/raas help", user="carol")
    assert reactions == ["eyes", "rocket"]
    assert "no jobs yet" in replies[0]
    assert "| `/raas cancel` |" in replies[0]
    say(lab, pull, "/raas run")
    _, replies = say(lab, pull, "/raas status")
    assert "| [1](http://raas.test/jobs/1) |" in replies[-1]
    assert "no robot with the labels pendulum" in replies[-1]


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
    assert [job.conclusion for job in lab.jobs] == ["action_required"]
    assert reactions == ["eyes", "confused"]
    assert "is not the head" in replies[-1]


def test_a_commit_pushed_after_the_command_does_not_run(lab: Lab, fork: dict[str, Any]) -> None:
    """The job holds the commit itself, so what its branch points to later does not matter."""
    reviewed = fork["head"]["sha"]
    say(lab, fork, f"/raas run {reviewed}")
    lab.world.push("bob/spoon", {"run.py": "print('evil')"}, user="bob", branch="better")
    lab.work()
    assert [job.sha for job in lab.jobs if job.status == "queued"] == [reviewed]


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
