"""Check runs agree with the jobs in the end, whatever GitHub and the network do; one check run a job."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from github_lab import PROGRAM, SPOON, Lab

from github_app import checks, queue, triggers
from github_app.checks import REFUSED_TRIES_MAX
from github_app.models import Job

SESSION = {
    "number": 0,
    "reason": "client_left",
    "message": "",
    "steps": 400,
    "ticks": 400,
    "episodes": 1,
    "late": 0,
    "duration_s": 20.0,
    "scores": {"episode_return": -312.4, "upright_time": 14.2, "upright": 0.71},
    "robot": "goose",
    "passport": "simulated",
}
ANNOTATION = {"path": "run.py", "line": 1, "title": "ZeroDivisionError", "message": "division by zero"}


def queued(lab: Lab) -> str:
    """A job that has not been published yet; its commit."""
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.settle()
    while triggers.process_pending(lab.app):
        pass
    (job,) = lab.jobs
    assert job.check_run_id is None
    return sha


def settled(lab: Lab, sha: str) -> dict[str, Any]:
    """Everything agrees: one check run, nothing left to report. Gives the check run."""
    (job,) = lab.jobs
    (run,) = lab.check_runs(sha)
    assert job.reported_event == job.latest_event
    assert job.check_run_id == run["id"]
    assert job.report_tries == 0
    return run


def test_every_state_is_shown(lab: Lab) -> None:
    sha = queued(lab)
    lab.work()
    assert settled(lab, sha)["status"] == "queued"
    holder = lab.claim()
    lab.work()
    run = settled(lab, sha)
    assert (run["status"], run["output"]["title"]) == ("in_progress", "Preparing on goose")
    lab.start(holder)
    lab.work()
    assert settled(lab, sha)["output"]["title"] == "Running on goose"
    lab.finish(holder, sessions=[SESSION], log={"offset": 0, "data": "aGVsbG8Kd29ybGQK"})
    lab.work()
    run = settled(lab, sha)
    assert (run["status"], run["conclusion"]) == ("completed", "success")
    assert run["output"]["title"] == "Balanced 14.2 s of 20 s: return -312"
    assert "hello\nworld" in run["output"]["text"]


def test_only_the_latest_state_is_published(lab: Lab) -> None:
    sha = queued(lab)
    holder = lab.claim()
    lab.start(holder)
    lab.finish(holder, conclusion="failure", reason="The program crashed.", annotations=[ANNOTATION])
    assert checks.reconcile(lab.app) == 1
    run = settled(lab, sha)
    assert (run["conclusion"], run["output"]["title"]) == ("failure", "The program crashed")
    assert checks.reconcile(lab.app) == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502},
        {"status": 500},
        {"status": 403, "headers": {"retry-after": "1"}},
        {"status": 429, "headers": {"retry-after": "not a number"}},
        {"drop": True},
        {"drop": True, "applied": True},
        {"status": 502, "applied": True},
    ],
    ids=lambda fault: "-".join(f"{key}" for key in fault) + f"-{fault.get('status', '')}",
)
def test_creating_fails_once_and_is_repaired_without_a_second_check_run(
    lab: Lab, fault: dict[str, Any]
) -> None:
    sha = queued(lab)
    lab.world.fault(method="POST", path="/check-runs$", times=1, **fault)
    assert checks.reconcile(lab.app) == 1
    (job,) = lab.jobs
    assert job.reported_event < job.latest_event
    assert checks.reconcile(lab.app) == 0  # not before its pause is over
    lab.rate_limit_over()
    lab.make_due()
    lab.work()
    assert settled(lab, sha)["status"] == "queued"


@pytest.mark.parametrize("applied", [False, True])
def test_a_final_update_whose_answer_is_lost_adds_its_annotations_once(lab: Lab, applied: bool) -> None:
    sha = queued(lab)
    lab.work()
    holder = lab.claim()
    lab.start(holder)
    lab.finish(holder, conclusion="failure", reason="It crashed.", annotations=[ANNOTATION])
    lab.world.fault(method="PATCH", path="/check-runs/", times=1, drop=True, applied=applied)
    checks.reconcile(lab.app)
    lab.make_due()
    lab.work()
    run = settled(lab, sha)
    assert run["conclusion"] == "failure"
    assert len(lab.world.annotations(SPOON, run["id"])) == 1


def test_a_crash_between_creating_and_noting_it_makes_no_second_check_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies when GitHub has answered and nothing is written yet."""
    sha = queued(lab)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(checks, "_remember", die)
        with pytest.raises(SystemExit):
            checks.reconcile(lab.app)
    assert len(lab.check_runs(sha)) == 1
    assert lab.jobs[0].check_run_id is None
    assert checks.reconcile(lab.app) == 0  # the dead process's lease holds
    lab.make_due()
    lab.work()
    settled(lab, sha)


def test_the_check_run_is_found_among_hundreds(lab: Lab) -> None:
    sha = queued(lab)
    lab.world.fault(method="POST", path="/check-runs$", times=1, drop=True, applied=True)
    checks.reconcile(lab.app)
    repository = lab.repository()
    for number in range(105):
        body = {"name": "other", "head_sha": sha, "external_id": f"other {number}"}
        lab.here.github.create_check_run(repository, body)
    lab.make_due()
    lab.work()
    assert len([run for run in lab.check_runs(sha) if run["external_id"] == str(lab.jobs[0].id)]) == 1
    assert lab.jobs[0].check_run_id is not None


def test_an_event_during_publishing_is_published_next(lab: Lab) -> None:
    """GitHub is slow; the job is cancelled while its creation is on the way."""
    sha = queued(lab)
    lab.world.fault(method="POST", path="/check-runs$", times=1, applied=True, delay_s=0.5, status=201)
    published = threading.Thread(target=checks.reconcile, args=(lab.app,))
    published.start()
    with lab.here.db.write() as session:
        queue.cancel(session, lab.jobs[0].id, "Not needed any more.", by="alice")
    published.join()
    lab.make_due()
    lab.work()
    run = settled(lab, sha)
    assert (run["conclusion"], run["output"]["title"]) == ("cancelled", "Not needed any more")


def test_two_reconcilers_do_not_publish_one_job_at_once(lab: Lab) -> None:
    sha = queued(lab)
    lab.world.fault(method="POST", path="/installations/.*/access_tokens", times=1, delay_s=0.3, applied=True)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(checks.reconcile, [lab.app] * 4)) == 1
    lab.make_due()
    lab.work()
    settled(lab, sha)


def test_a_rate_limit_is_waited_for_and_nobody_is_asked_meanwhile(lab: Lab) -> None:
    sha = queued(lab)
    lab.world.fault(method="POST", path="/check-runs$", times=1, status=403, headers={"retry-after": "30"})
    checks.reconcile(lab.app)
    (job,) = lab.jobs
    assert (job.next_report_at - job.created_at).total_seconds() > 25
    lab.make_due()
    checks.reconcile(lab.app)
    assert lab.check_runs(sha) == []


def test_github_away_for_long_only_delays(lab: Lab) -> None:
    sha = queued(lab)
    lab.world.fault(method="POST", path="/check-runs$", times=8, status=503)
    pauses = []
    for _ in range(8):
        lab.make_due()
        checks.reconcile(lab.app)
        pauses.append(lab.jobs[0].report_tries)
    assert pauses == list(range(1, 9))
    lab.make_due()
    lab.work()
    settled(lab, sha)


def test_a_refusal_for_good_is_given_up_and_stops_nobody(lab: Lab) -> None:
    sha = queued(lab)
    lab.world.fault(method="POST", path="/check-runs$", times=REFUSED_TRIES_MAX, status=422)
    for _ in range(REFUSED_TRIES_MAX):
        lab.make_due()
        checks.reconcile(lab.app)
    (job,) = lab.jobs
    assert job.reported_event == job.latest_event
    assert lab.check_runs(sha) == []


def test_an_uninstalled_app_reports_nothing_and_its_jobs_end(lab: Lab) -> None:
    queued(lab)
    lab.world.uninstall(lab.installation)
    lab.work()
    (job,) = lab.jobs
    assert (job.status, job.conclusion) == ("completed", "cancelled")
    assert job.reported_event == job.latest_event


def test_many_jobs_under_random_faults_all_agree_in_the_end(lab: Lab) -> None:
    shas = [lab.world.push(SPOON, {**PROGRAM, "n": str(n)}, user="alice", branch=f"b{n}") for n in range(6)]
    lab.world.settle()
    while triggers.process_pending(lab.app):
        pass
    for n, fault in enumerate([{"drop": True}, {"drop": True, "applied": True}, {"status": 502}] * 2):
        lab.world.fault(method=("POST", "PATCH")[n % 2], path="/check-runs", times=1, **fault)
    for _ in range(4):
        lab.make_due()
        checks.reconcile(lab.app)
        with lab.here.db.write() as session:
            for job in lab.jobs[:2]:
                queue.cancel(session, job.id, "Enough.", by="alice")
    lab.make_due()
    lab.work()
    jobs: dict[str, Job] = {job.sha: job for job in lab.jobs}
    assert len(jobs) == len(shas)
    for sha in shas:
        (run,) = lab.check_runs(sha)
        assert run["external_id"] == str(jobs[sha].id)
        assert (run["status"], run["conclusion"]) == (jobs[sha].status, jobs[sha].conclusion)
