"""Buttons and GitHub's "Re-run": whose press counts, for which job, and what it comes to."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from github_lab import PROGRAM, SPOON, Lab

from github_app import payloads, triggers
from github_app.models import Delivery


@pytest.fixture
def done(lab: Lab) -> dict[str, Any]:
    """The check run of a job that has run."""
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    holder = lab.claim()
    lab.start(holder)
    lab.finish(holder)
    lab.work()
    (run,) = lab.check_runs(sha)
    assert run["conclusion"] == "success"
    return run


def press(lab: Lab, run: dict[str, Any], identifier: str, user: str = "alice") -> str:
    lab.world.press(SPOON, run["id"], identifier, user=user)
    lab.work()
    pressed = [row for row in lab.rows(Delivery) if b'"requested_action"' in row.payload]
    return pressed[-1].error or pressed[-1].outcome or "waiting"


def _name(identifier: str, payload: dict[str, Any]) -> None:
    payload["requested_action"]["identifier"] = identifier


def _change(fields: dict[str, Any], payload: dict[str, Any]) -> None:
    payload["check_run"] = {**json.loads(json.dumps(payload["check_run"])), **fields}


def forge(lab: Lab, change: Any) -> str:
    """As if the newest press had said something else: it is changed where it was stored, and done again."""
    newest = [row for row in lab.rows(Delivery) if b'"requested_action"' in row.payload][-1]
    payload = json.loads(newest.payload)
    change(payload)
    with lab.here.db.write() as session:
        row = session.get_one(Delivery, newest.id)
        row.payload, row.processed_at, row.outcome = json.dumps(payload).encode(), None, None
    lab.make_due()
    lab.work()
    with lab.here.db.read() as session:
        return session.get_one(Delivery, newest.id).outcome or ""


def test_run_again_is_a_new_job_with_a_new_check_run(lab: Lab, done: dict[str, Any]) -> None:
    press(lab, done, "run_again")
    first, again = lab.jobs
    assert (again.rerun_of, again.trigger, again.requested_by) == (first.id, "rerun", "alice")
    for name in ("sha", "ref", "labels", "timeout_s", "sessions", "config", "owner"):
        assert getattr(again, name) == getattr(first, name)
    newest, oldest = lab.check_runs(first.sha)
    assert (oldest["conclusion"], newest["status"]) == ("success", "queued")
    assert newest["external_id"] == str(again.id)


def test_a_double_click_is_one_re_run_and_later_there_may_be_another(lab: Lab, done: dict[str, Any]) -> None:
    press(lab, done, "run_again")
    assert "runs again already as job 2" in press(lab, done, "run_again")
    lab.finish(lab.claim(), conclusion="failure", reason="The image could not be built.")
    press(lab, done, "run_again")
    assert [job.rerun_of for job in lab.jobs] == [None, 1, 1]


def test_github_s_own_re_run_counts_too(lab: Lab, done: dict[str, Any]) -> None:
    lab.world.rerequest(SPOON, done["id"], user="alice")
    lab.work()
    assert [job.rerun_of for job in lab.jobs] == [None, 1]


def test_re_run_all_is_one_re_run_of_each_kind(lab: Lab, done: dict[str, Any]) -> None:
    press(lab, done, "run_again")
    lab.finish(lab.claim(), conclusion="failure", reason="The image could not be built.")
    lab.world.rerequest_suite(SPOON, done["check_suite"]["id"], user="alice")
    lab.world.rerequest_suite(SPOON, done["check_suite"]["id"], user="alice")
    lab.work()
    assert [job.rerun_of for job in lab.jobs] == [None, 1, 2]


def test_cancel_takes_a_job_out_of_the_queue(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    (run,) = lab.check_runs(sha)
    press(lab, run, "cancel")
    (job,) = lab.jobs
    assert (job.conclusion, job.reason) == ("cancelled", "Cancelled by alice on GitHub.")
    assert lab.check_runs(sha)[0]["conclusion"] == "cancelled"


def test_cancel_stops_a_running_job(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    lab.start(lab.claim())
    lab.work()
    press(lab, lab.check_runs(sha)[0], "cancel")
    assert lab.jobs[0].cancel_reason == "Cancelled by alice on GitHub."


def test_nobody_without_write_permission_presses(lab: Lab, done: dict[str, Any]) -> None:
    lab.world.collaborator(SPOON, "carol", "triage")
    assert "Only people with write permission" in press(lab, done, "run_again", user="carol")
    lab.world.rerequest(SPOON, done["id"], user="carol")
    lab.world.rerequest_suite(SPOON, done["check_suite"]["id"], user="carol")
    lab.work()
    assert len(lab.jobs) == 1


def test_programs_press_nothing(lab: Lab, done: dict[str, Any]) -> None:
    """Our own installation token may re-request through the API; it is nobody's word."""
    press(lab, done, "run_again")
    before = len(lab.jobs)
    seen = forge(lab, lambda payload: payload["sender"].update(type="Bot", login="raas[bot]"))
    assert "is no person" in seen
    assert len(lab.jobs) == before


def test_a_press_says_what_the_job_offers_now_or_nothing(lab: Lab, done: dict[str, Any]) -> None:
    press(lab, done, "run_again")
    lab.finish(lab.claim(), conclusion="failure", reason="The image could not be built.")
    for identifier in ("cancel", "approve", "RUN_AGAIN", "rm -rf", ""):
        seen = forge(lab, partial(_name, identifier))
        assert "has no such button" in seen
    assert len(lab.jobs) == 2


def test_a_job_that_is_not_the_check_run_s_own_is_not_touched(lab: Lab, done: dict[str, Any]) -> None:
    lab.world.repository("alice/other")
    lab.world.install(lab.app_id, "alice/other")
    lab.world.push("alice/other", PROGRAM, user="alice")
    lab.work()
    press(lab, done, "run_again")
    assert len(lab.jobs) == 3, "the second is of another repository"
    fields = [{"external_id": number} for number in ("999", "2", "", "1; drop", "٣", None)]
    for field in (*fields, {"head_sha": "0" * 40}, {"id": 12345}):
        seen = forge(lab, partial(_change, field))
        assert seen == "refused: the check run is of no job of this repository and commit"
    assert len(lab.jobs) == 3


def test_what_another_app_made_is_left_alone(lab: Lab, done: dict[str, Any]) -> None:
    press(lab, done, "run_again")
    row = next(row for row in lab.rows(Delivery) if b'"requested_action"' in row.payload)
    payload = json.loads(row.payload)
    ours = payloads.CheckRunEvent.model_validate(payload)
    assert triggers.left_alone(lab.here.settings, ours) is None
    payload["check_run"]["app"]["id"] += 1
    other = payloads.CheckRunEvent.model_validate(payload)
    assert triggers.left_alone(lab.here.settings, other) == "left alone: of another App"
