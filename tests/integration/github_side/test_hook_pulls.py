"""Pull requests: the repository's own run by themselves, those from forks wait for approval of one commit."""

from __future__ import annotations

from typing import Any

from github_lab import PROGRAM, SPOON, Lab

from github_app.models import Delivery, Job

ONLY_MAIN = "version: 1\non:\n  push: {branches: [main]}\n  pull_request: true\n"


def outcomes(lab: Lab, event: str) -> list[str]:
    return [row.error or row.outcome or "waiting" for row in lab.rows(Delivery) if row.event == event]


def open_fork(lab: Lab, files: dict[str, str] | None = None) -> dict[str, Any]:
    """A pull request from bob's fork."""
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    lab.world.fork(SPOON, "bob")
    lab.world.push("bob/spoon", files or {"run.py": "print('bob')"}, user="bob", branch="better")
    opened = lab.world.open_pull(SPOON, head="bob:better", user="bob")
    lab.work()
    return opened


def approve(lab: Lab, sha: str, user: str = "alice") -> None:
    """Press "Approve run" at the oldest check run of a commit."""
    lab.world.press(SPOON, lab.check_runs(sha)[-1]["id"], "approve", user=user)
    lab.work()


def waiting(lab: Lab) -> list[Job]:
    return [job for job in lab.jobs if job.status == "queued"]


def test_a_push_and_its_pull_request_are_one_job(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    sha = lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature")
    opened = lab.world.open_pull(SPOON, head="feature", user="alice")
    lab.world.close_pull(SPOON, opened["number"], user="alice")
    lab.world.reopen_pull(SPOON, opened["number"], user="alice")
    lab.work()
    (job,) = lab.jobs
    assert (job.sha, job.pull_request) == (sha, opened["number"])
    assert len(lab.check_runs(sha)) == 1
    moved = lab.world.push(SPOON, {"a": "2"}, user="alice", branch="feature")  # push and synchronize
    lab.work()
    assert [job.sha for job in lab.jobs] == [sha, moved]


def test_in_whatever_order_and_however_often_they_come_it_is_one_job(lab: Lab) -> None:
    lab.world.push(SPOON, {**PROGRAM, ".raas.yml": ONLY_MAIN}, user="alice", message="[skip raas]")
    sha = lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature")
    opened = lab.world.open_pull(SPOON, head="feature", user="alice")
    lab.work()
    (job,) = lab.jobs
    assert (job.trigger, job.sha, job.pull_request) == ("pull_request", sha, opened["number"])
    assert (job.head_repository, job.ref, job.status) == (None, "feature", "queued")
    lab.branch(SPOON, "main", sha)
    with lab.here.db.write() as session:
        for row in session.query(Delivery).where(Delivery.event.in_(["push", "pull_request"])):
            row.processed_at = None if (row.outcome or "").startswith("job") else row.processed_at
    lab.make_due()
    lab.work()
    assert len(lab.jobs) == 1


def test_the_configuration_may_leave_pull_requests_out(lab: Lab) -> None:
    file = {".raas.yml": "version: 1\non: {push: {branches: [main]}}\n"}
    lab.world.push(SPOON, {**PROGRAM, **file}, user="alice", message="[skip raas]")
    lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature")
    lab.world.open_pull(SPOON, head="feature", user="alice")
    lab.work()
    assert lab.jobs == []
    assert outcomes(lab, "pull_request") == ["left alone: .raas.yml does not ask for pull requests"]


def test_a_stranger_who_opens_a_pull_request_between_our_branches_moves_nothing(lab: Lab) -> None:
    lab.world.push(SPOON, {**PROGRAM, ".raas.yml": ONLY_MAIN}, user="alice", message="[skip raas]")
    lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature")
    lab.world.open_pull(SPOON, head="feature", user="mallory")
    lab.work()
    assert lab.jobs == []
    assert outcomes(lab, "pull_request") == ["left alone: mallory has no write permission"]


def test_a_fork_never_runs_by_itself(lab: Lab) -> None:
    opened = open_fork(lab)
    (job,) = lab.jobs
    assert (job.sha, job.head_repository, job.pull_request) == (
        opened["head"]["sha"],
        "bob/spoon",
        opened["number"],
    )
    assert (job.status, job.conclusion, job.attempt) == ("completed", "action_required", 0)
    (run,) = lab.check_runs(job.sha)
    assert run["conclusion"] == "action_required"
    assert "the commit comes from bob/spoon" in run["output"]["title"]
    lab.world.close_pull(SPOON, opened["number"], user="bob")
    lab.world.reopen_pull(SPOON, opened["number"], user="bob")
    moved = lab.world.push("bob/spoon", {"a": "1"}, user="bob", branch="better")
    lab.work()
    assert [(job.sha, job.conclusion) for job in lab.jobs] == [
        (opened["head"]["sha"], "action_required"),
        (moved, "action_required"),
    ]


def test_even_a_writer_s_fork_waits(lab: Lab) -> None:
    lab.world.collaborator(SPOON, "bob", "admin")
    open_fork(lab)
    assert waiting(lab) == []


def test_an_approval_runs_exactly_the_commit_that_was_approved(lab: Lab) -> None:
    reviewed = open_fork(lab)["head"]["sha"]
    lab.world.push("bob/spoon", {"run.py": "print('evil')"}, user="bob", branch="better")
    lab.work()
    approve(lab, reviewed)
    (job,) = waiting(lab)
    assert (job.sha, job.trigger, job.requested_by) == (reviewed, "approval", "alice")
    assert (job.head_repository, job.rerun_of) == ("bob/spoon", lab.jobs[0].id)
    approve(lab, reviewed)
    assert len(waiting(lab)) == 1, "pressed twice, it is one job"
    assert [run["status"] for run in lab.check_runs(reviewed)] == ["queued", "completed"]


def test_a_newer_push_to_a_pull_request_takes_the_older_commit_out_of_the_queue(lab: Lab) -> None:
    lab.world.push(SPOON, {**PROGRAM, ".raas.yml": ONLY_MAIN}, user="alice", message="[skip raas]")
    first = lab.world.push(SPOON, {"a": "1"}, user="alice", branch="feature")
    opened = lab.world.open_pull(SPOON, head="feature", user="alice")
    lab.work()
    lab.world.comment(SPOON, opened["number"], "/raas run", user="alice")
    lab.work()
    second = lab.world.push(SPOON, {"a": "2"}, user="alice", branch="feature")
    lab.work()
    assert [(job.sha, job.trigger, job.conclusion) for job in lab.jobs] == [
        (first, "pull_request", "cancelled"),
        (first, "comment", None),  # somebody asked for it
        (second, "pull_request", None),
    ]
    assert lab.jobs[0].reason is not None
    assert second[:7] in lab.jobs[0].reason


def test_what_was_approved_is_not_superseded_by_newer_commits(lab: Lab) -> None:
    reviewed = open_fork(lab)["head"]["sha"]
    approve(lab, reviewed)
    newer = lab.world.push("bob/spoon", {"a": "1"}, user="bob", branch="better")
    lab.world.push(SPOON, {"b": "1"}, user="alice", branch="better")  # a branch of the same name
    lab.work()
    approved = next(job for job in lab.jobs if job.trigger == "approval")
    assert (approved.sha, approved.status) == (reviewed, "queued")
    assert {job.sha: job.conclusion for job in lab.jobs if job.trigger == "pull_request"} == {
        reviewed: "action_required",
        newer: "action_required",
    }
    approve(lab, newer)
    assert {job.sha for job in waiting(lab) if job.trigger == "approval"} == {reviewed, newer}


def test_nobody_without_write_permission_approves(lab: Lab) -> None:
    reviewed = open_fork(lab)["head"]["sha"]
    for user in ("bob", "mallory"):
        approve(lab, reviewed, user=user)
        assert waiting(lab) == []
        assert "Only people with write permission" in " ".join(outcomes(lab, "check_run"))


def test_re_running_what_waits_for_approval_is_no_approval(lab: Lab) -> None:
    sha = open_fork(lab)["head"]["sha"]
    (run,) = lab.check_runs(sha)
    lab.world.rerequest(SPOON, run["id"], user="alice")
    lab.world.rerequest_suite(SPOON, run["check_suite"]["id"], user="alice")
    lab.work()
    assert {job.conclusion for job in lab.jobs} == {"action_required"}
    assert waiting(lab) == []
    newest = lab.check_runs(sha)[0]
    lab.world.press(SPOON, newest["id"], "approve", user="alice")
    lab.work()
    assert [job.sha for job in waiting(lab)] == [sha]


def test_a_fork_s_invalid_file_is_reported_and_a_merged_fork_runs(lab: Lab) -> None:
    opened = open_fork(lab, {".raas.yml": "robto: x"})
    (job,) = lab.jobs
    assert job.conclusion == "failure"
    lab.world.push("bob/spoon", {".raas.yml": "version: 1\n"}, user="bob", branch="better")
    lab.work()
    merged = lab.world.merge_pull(SPOON, opened["number"], user="alice")
    lab.work()
    assert [job.sha for job in waiting(lab)] == [merged]


def test_a_deleted_fork_changes_nothing_for_the_commit(lab: Lab) -> None:
    reviewed = open_fork(lab)["head"]["sha"]
    lab.world.delete_repository("bob/spoon", user="bob")
    lab.work()
    approve(lab, reviewed)
    assert [job.sha for job in waiting(lab)] == [reviewed]
