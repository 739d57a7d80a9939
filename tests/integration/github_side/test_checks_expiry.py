"""What waits too long ends with clear words; newer commits supersede older ones; what is missing is shown."""

from __future__ import annotations

from datetime import datetime, timedelta

from github_lab import PROGRAM, SPOON, Lab
from sqlalchemy import update

from github_app import checks, expiry, plans, triggers
from github_app.checks import REFUSED_TRIES_MAX
from github_app.models import Delivery, Job
from github_app.moves import utc_now


def in_days(days: float) -> datetime:
    return utc_now() + timedelta(days=days)


def test_a_job_that_no_robot_takes_is_given_up(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    assert expiry.sweep(lab.here, now=in_days(2.9)) == 0
    lab.make_due()
    assert expiry.sweep(lab.here, now=in_days(3.1)) == 1
    lab.work()
    (run,) = lab.check_runs(sha)
    assert (run["status"], run["conclusion"]) == ("completed", "cancelled")
    assert run["output"]["title"].startswith("No robot with the labels pendulum could take it for 3 days")


def test_a_running_job_is_never_given_up(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.start(lab.claim())
    assert expiry.sweep(lab.here, now=in_days(30)) == 0
    assert lab.jobs[0].status == "running"


def test_an_approval_that_nobody_gives_is_not_waited_for_any_more(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    while triggers.process_pending(lab.app):
        pass
    with lab.here.db.write() as session:  # as a pull request from a fork leaves it
        refusal = plans.held("mallory/spoon")
        ended = {"status": "completed", "conclusion": refusal.conclusion.value, "reason": refusal.reason}
        session.execute(update(Job).values(**ended, completed_at=utc_now()))
    lab.work()
    (run,) = lab.check_runs(lab.jobs[0].sha)
    assert run["conclusion"] == "action_required"
    assert expiry.sweep(lab.here, now=in_days(4)) == 1
    lab.work()
    (run,) = lab.check_runs(lab.jobs[0].sha)
    assert run["conclusion"] == "cancelled"
    assert run["output"]["title"].startswith("Nobody approved it for 3 days")
    lab.make_due()
    assert expiry.sweep(lab.here, now=in_days(4)) == 0


def test_a_newer_commit_takes_the_older_one_out_of_the_queue(lab: Lab) -> None:
    first = lab.world.push(SPOON, {**PROGRAM, "n": "1"}, user="alice")
    other = lab.world.push(SPOON, {**PROGRAM, "n": "2"}, user="alice", branch="other")
    lab.work()
    second = lab.world.push(SPOON, {**PROGRAM, "n": "3"}, user="alice")
    lab.work()
    jobs = {job.sha: job for job in lab.jobs}
    assert {sha: jobs[sha].conclusion for sha in (first, other, second)} == {
        first: "cancelled",
        other: None,
        second: None,
    }
    (run,) = lab.check_runs(first)
    assert run["output"]["title"] == (
        f"Superseded by {second[:7]} (job {jobs[second].id}), a newer commit on main"
    )


def test_what_runs_goes_on_when_a_newer_commit_comes(lab: Lab) -> None:
    lab.world.push(SPOON, {**PROGRAM, "n": "1"}, user="alice")
    lab.work()
    lab.start(lab.claim())
    lab.world.push(SPOON, {**PROGRAM, "n": "2"}, user="alice")
    lab.work()
    assert [(job.status, job.cancel_reason) for job in lab.jobs] == [("running", None), ("queued", None)]


def test_the_older_of_two_pushes_gives_way_although_it_is_worked_on_last(lab: Lab) -> None:
    lab.world.fault(method="GET", path="/contents/", times=3, status=502)  # puts the first one off
    first = lab.world.push(SPOON, {**PROGRAM, "n": "1"}, user="alice")
    lab.world.settle()
    triggers.process_pending(lab.app)
    lab.world.clear_faults()
    with lab.here.db.write() as session:  # its pause is long
        put_off = update(Delivery).where(Delivery.processed_at.is_(None))
        session.execute(put_off.values(next_try_at=in_days(1)))
    second = lab.world.push(SPOON, {**PROGRAM, "n": "2"}, user="alice")
    lab.work()
    assert [job.sha for job in lab.jobs] == [second]
    lab.make_due()
    lab.work()
    jobs = {job.sha: job for job in lab.jobs}
    assert jobs[first].id > jobs[second].id
    assert (jobs[first].conclusion, jobs[second].status) == ("cancelled", "queued")


def test_a_job_that_github_refused_for_hours_is_shown_once_github_allows_it(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    while triggers.process_pending(lab.app):
        pass
    lab.world.fault(method="POST", path="/check-runs$", times=REFUSED_TRIES_MAX, status=422)
    for _ in range(REFUSED_TRIES_MAX):
        lab.make_due()
        checks.reconcile(lab.app)
    assert lab.jobs[0].reported_event == lab.jobs[0].latest_event
    lab.make_due()
    assert expiry.sweep(lab.here) == 1
    lab.work()
    assert len(lab.check_runs(sha)) == 1
    lab.make_due()
    assert expiry.sweep(lab.here) == 0


def test_a_check_run_that_is_gone_is_made_anew(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    with lab.here.db.write() as session:
        session.execute(update(Job).values(check_run_id=987_654, reported_event=0))
        session.execute(update(Job).values(sha=lab.world.push(SPOON, {"n": "1"}, user="alice", branch="b")))
    lab.make_due()
    checks.reconcile(lab.app)
    assert lab.jobs[0].check_run_id is None
    lab.make_due()
    checks.reconcile(lab.app)
    (run,) = lab.check_runs(lab.jobs[0].sha)
    assert (run["external_id"], run["id"]) == (str(lab.jobs[0].id), lab.jobs[0].check_run_id)
    assert len(lab.check_runs(sha)) == 1
