"""What the server remembers of repositories stays true, and hides at once what became private."""

from __future__ import annotations

from github_lab import PROGRAM, SPOON, Lab

from github_app import allowance, moves, records
from github_app.models import Delivery, Repository, Runner
from github_app.rules import robot_rules


def page(lab: Lab, job: int) -> int:
    return lab.app.test_client().get(f"/jobs/{job}").status_code


def test_installing_and_pushing_fill_the_record(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    row = lab.repository()
    assert (row.installation_id, row.private, row.default_branch) == (lab.installation, False, "main")


def test_a_repository_added_later_is_known(lab: Lab) -> None:
    lab.world.repository("alice/fork", private=True)
    lab.world.install(lab.app_id, "alice/fork")
    lab.work()
    assert lab.repository("alice/fork").private


def test_becoming_private_hides_the_jobs(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    (job,) = lab.jobs
    assert page(lab, job.id) == 200
    lab.world.change_repository(SPOON, user="alice", private=True)
    lab.work()
    assert page(lab, job.id) == 404
    lab.world.change_repository(SPOON, user="alice", private=False)
    lab.work()
    assert page(lab, job.id) == 200


def test_becoming_private_hides_the_jobs_even_while_github_is_away(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.world.change_repository(SPOON, user="alice", private=True)
    lab.world.fault(method="GET", path="/repos/alice/spoon$", times=3, status=502)
    lab.work()
    assert page(lab, lab.jobs[0].id) == 404


def test_an_old_delivery_does_not_make_it_public_again(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.world.change_repository(SPOON, user="alice", private=True)
    lab.work()
    with lab.here.db.write() as session:
        for row in session.query(Delivery).where(Delivery.event == "push"):
            row.processed_at = None
    lab.make_due()
    lab.work()
    assert lab.repository().private
    assert page(lab, lab.jobs[0].id) == 404


def test_a_new_name_is_followed(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.world.change_repository(SPOON, user="alice", name="fork")
    lab.work()
    assert lab.repository("alice/fork").id
    assert len(lab.rows(Repository)) == 1
    lab.finish(lab.claim(), conclusion="failure", reason="The image could not be built.")
    lab.work()
    (run,) = lab.world.check_runs("alice/fork", sha, app_id=lab.app_id)
    assert run["conclusion"] == "failure"


def test_a_removed_repository_s_jobs_are_cancelled(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.world.uninstall(lab.installation, SPOON)
    lab.work()
    (job,) = lab.jobs
    assert (job.conclusion, job.reason) == ("cancelled", records.GONE)
    assert job.repository.installation_id == records.UNINSTALLED


def test_installing_again_after_removal_works(lab: Lab) -> None:
    lab.world.uninstall(lab.installation)
    lab.work()
    again = lab.world.install(lab.app_id, SPOON)
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    assert lab.repository().installation_id == again
    assert len(lab.check_runs(sha)) == 1


def test_a_deleted_repository_s_jobs_are_hidden(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.world.delete_repository(SPOON, user="alice")
    lab.work()
    (job,) = lab.jobs
    assert (job.conclusion, job.reason) == ("cancelled", records.GONE)
    assert page(lab, job.id) == 404


def test_an_archived_repository_s_waiting_jobs_are_cancelled(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.world.change_repository(SPOON, user="alice", archived=True)
    lab.work()
    (job,) = lab.jobs
    assert (job.conclusion, job.reason) == ("cancelled", records.ARCHIVED)
    lab.world.change_repository(SPOON, user="alice", archived=False)
    sha = lab.world.push(SPOON, {"a": "1"}, user="alice")
    lab.work()
    assert [job.sha for job in lab.jobs if job.status == "queued"] == [sha]


def test_a_transfer_is_followed_to_whoever_may_use_the_robots(lab: Lab) -> None:
    for account in ("lab", "strangers"):
        lab.world.organization(account, "alice")
        lab.world.install(lab.app_id, account=account)
    lab.work()
    before = lab.repository()
    lab.world.change_repository(SPOON, user="alice", owner="lab")
    lab.world.push("lab/spoon", PROGRAM, user="alice")
    lab.work()
    moved = lab.repository("lab/spoon")
    assert moved.id == before.id
    assert moved.installation_id != before.installation_id
    with lab.here.db.write() as session:
        late = records.forget(session, [moved.id], before.installation_id)
    assert late == 0, "that the old installation lost it is no news"
    assert [job.status for job in lab.jobs] == ["queued"]
    lab.world.change_repository("lab/spoon", user="alice", owner="strangers")
    lab.work()
    (job,) = lab.jobs
    assert job.conclusion == "cancelled"
    assert "strangers may not use the robots" in job.reason


def test_a_private_repository_s_waiting_jobs_leave_robots_that_run_public_sources(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    with lab.here.db.write() as session:
        runner = Runner(name="goose", labels=["pendulum"], created_at=moves.utc_now())
        session.add(runner)
        session.flush()
        allowance.set_robot_rules(session, runner, robot_rules(private=False))
    assert lab.jobs[0].lane == "pendulum"
    lab.world.change_repository(SPOON, user="alice", private=True)
    lab.work()
    assert lab.jobs[0].lane == "!goose,pendulum"
    lab.world.change_repository(SPOON, user="alice", private=False)
    lab.work()
    assert lab.jobs[0].lane == "pendulum"
