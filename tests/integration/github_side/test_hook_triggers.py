"""From a push or a comment on GitHub to jobs: which, how many, and on whose word."""

from __future__ import annotations

import pytest
from github_lab import PROGRAM, SPOON, Lab

from github_app import triggers
from github_app.models import Delivery


def test_a_push_becomes_a_job_and_a_check_run(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    (job,) = lab.jobs
    assert (job.sha, job.ref, job.trigger, job.requested_by) == (sha, "main", "push", "alice")
    assert (job.labels, job.timeout_s, job.status) == (["pendulum"], 120.0, "queued")
    assert lab.repository().full_name == SPOON
    (run,) = lab.check_runs(sha)
    assert (run["status"], run["external_id"]) == ("queued", str(job.id))
    assert run["details_url"] == f"http://raas.test/jobs/{job.id}"
    assert run["output"]["title"].startswith("Queued: next, but no robot")


def test_a_repository_with_neither_file_is_left_alone(lab: Lab) -> None:
    sha = lab.world.push(SPOON, {"README.md": "no program"}, user="alice")
    lab.work()
    assert lab.jobs == []
    assert lab.check_runs(sha) == []
    assert lab.outcomes == ["left alone: neither .raas.yml nor run.py"]


def test_a_configuration_alone_is_enough(lab: Lab) -> None:
    config = "version: 1\nrun: python train.py\nrobot: [pendulum, goose]\ntimeout: 60\n"
    lab.world.push(SPOON, {".raas.yml": config, "train.py": ""}, user="alice")
    lab.work()
    (job,) = lab.jobs
    assert (job.labels, job.timeout_s, job.config["run"]) == (["goose", "pendulum"], 60.0, "python train.py")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("version: 1\nrobto: pendulum\n", 2, "robto"),
        ("version: 1\n\ntimeout: 900\n", 3, "this host allows 600 s"),
        ("version: [1\n", 1, ""),
        ("# " + "x" * 40_000, 1, "longer than"),
    ],
)
def test_an_invalid_configuration_is_a_failure_on_its_line(
    lab: Lab, text: str, line: int, words: str
) -> None:
    sha = lab.world.push(SPOON, {**PROGRAM, ".raas.yml": text}, user="alice")
    lab.work()
    (job,) = lab.jobs
    assert (job.status, job.conclusion, job.attempt) == ("completed", "failure", 0)
    (run,) = lab.check_runs(sha)
    assert (run["status"], run["conclusion"]) == ("completed", "failure")
    assert words in run["output"]["title"]
    (annotation,) = lab.world.annotations(SPOON, run["id"])
    assert annotation["path"] == ".raas.yml"
    assert annotation["start_line"] == job.config_error["line"] >= line - (text.count("\n") == 1)
    if text.count("\n") > 1:
        assert annotation["start_line"] == line


def test_branches_are_chosen_by_the_configuration(lab: Lab) -> None:
    config = "version: 1\non:\n  push: {branches: [main, 'release/*']}\n"
    for branch in ("main", "other", "release/1"):
        lab.world.push(SPOON, {**PROGRAM, ".raas.yml": config, "b": branch}, user="alice", branch=branch)
    lab.work()
    assert {job.ref for job in lab.jobs} == {"main", "release/1"}
    assert "left alone: .raas.yml does not ask for pushes to other" in lab.outcomes


def test_one_automatic_job_for_a_commit(lab: Lab) -> None:
    """The same commit on two branches, and a delivery that is sent again, are one job."""
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.branch(SPOON, "copy", sha)
    lab.work()
    for delivery in lab.world.deliveries("push"):
        lab.world.redeliver(delivery.id)
    lab.work()
    assert len(lab.jobs) == 1
    assert len(lab.check_runs(sha)) == 1
    assert len([row for row in lab.rows(Delivery) if row.event == "push"]) == 2


def test_tags_deletions_and_skipped_commits_start_nothing(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice", message="Tidy up [SKIP RaaS]")
    lab.world.push(SPOON, {"a": "1"}, user="alice", branch="gone", message="[skip raas]")
    lab.world.tag(SPOON, "v1", user="alice")
    lab.world.delete_branch(SPOON, "gone", user="alice")
    lab.work()
    assert lab.jobs == []
    assert sorted(set(lab.outcomes)) == [
        "left alone: not a branch",
        "left alone: the branch was deleted",
        "left alone: the commit message says so",
    ]


def test_processing_a_delivery_again_makes_the_same_job(lab: Lab) -> None:
    """As after a crash between storing the jobs' facts and marking: everything is done twice."""
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    with lab.here.db.write() as session:
        for row in session.query(Delivery):
            row.processed_at = None
    lab.make_due()
    lab.work()
    assert len(lab.jobs) == 1


def test_an_owner_who_is_not_on_the_list_moves_nothing(lab: Lab) -> None:
    lab.world.repository("mallory/spoon")
    lab.world.install(lab.app_id, "mallory/spoon")
    sha = lab.world.push("mallory/spoon", PROGRAM, user="mallory")
    lab.work()
    assert lab.jobs == []
    assert lab.check_runs(sha, "mallory/spoon") == []
    assert lab.outcomes == ["refused: mallory may not use this host's robots"]


def test_github_away_delays_and_loses_nothing(lab: Lab) -> None:
    lab.world.fault(method="GET", path="/contents/", times=6, status=502)
    lab.work()
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    assert triggers.process_pending(lab.app) == 1
    assert lab.jobs == []
    (row,) = [row for row in lab.rows(Delivery) if row.event == "push"]
    assert (row.processed_at, row.tries) == (None, 1)
    assert "502" in row.error
    assert triggers.process_pending(lab.app) == 0  # it waits for its pause
    lab.make_due()
    triggers.process_pending(lab.app)
    lab.make_due()
    lab.work()
    assert len(lab.jobs) == 1


def test_a_rate_limit_is_waited_for(lab: Lab) -> None:
    lab.world.fault(method="GET", path="/contents/", times=1, status=403, headers={"retry-after": "120"})
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    triggers.process_pending(lab.app)
    (row,) = [row for row in lab.rows(Delivery) if row.event == "push"]
    assert (row.next_try_at - row.received_at).total_seconds() > 110
    lab.make_due()
    triggers.process_pending(lab.app)  # still: the client knows, and asks nobody
    assert lab.jobs == []


def test_a_commit_that_github_does_not_have_yet_is_asked_for_again(lab: Lab) -> None:
    lab.world.fault(method="GET", path="/(contents|commits)/", times=3, status=404)
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    assert lab.jobs == []
    lab.make_due()
    lab.work()
    assert len(lab.jobs) == 1


def test_expired_and_revoked_tokens_are_replaced(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.world.expire_tokens()
    sha = lab.world.push(SPOON, {"run.py": "print(2)"}, user="alice")
    lab.work()
    assert len(lab.jobs) == 2
    assert len(lab.check_runs(sha)) == 1
