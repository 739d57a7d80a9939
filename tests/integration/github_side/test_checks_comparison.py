"""A finished check run stands beside the base branch's runs on the same robot, and has its picture."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from github_lab import PROGRAM, SPOON, Lab, open_lab
from sqlalchemy import update

from github_app import artifacts
from github_app.models import Artifact, Job, Repository
from raas_gym.trajectory import Header, Trajectory

SESSION = {
    "number": 0,
    "reason": "client_left",
    "message": "",
    "steps": 400,
    "ticks": 400,
    "episodes": 1,
    "late": 0,
    "duration_s": 20.0,
    "robot": "goose",
    "passport": "2026-11-20",
    "exit_code": 0,
}


def ran(lab: Lab, value: float, *, branch: str = "main", **changes: Any) -> str:
    """A push whose run gets this return; its commit."""
    sha = lab.world.push(SPOON, {**PROGRAM, "value": f"{value} {branch}"}, user="alice", branch=branch)
    lab.work()
    finished(lab, value, **changes)
    return sha


def finished(lab: Lab, value: float, **changes: Any) -> None:
    holder = lab.claim()
    lab.start(holder)
    scores = {"episode_return": value, "upright": 0.71, "upright_time": 14.2}
    lab.finish(holder, sessions=[{**SESSION, "scores": scores, **changes}])
    lab.work()


def test_the_base_branchs_runs_on_the_same_robot_are_shown(lab: Lab) -> None:
    first = ran(lab, -900)
    for value in (-800, -850):
        ran(lab, value)
    ran(lab, -1, robot="crow")
    ran(lab, -2, passport="2026-11-01")
    ran(lab, -3, exit_code=1)
    ran(lab, -4, branch="other")
    sha = ran(lab, -312, branch="better")
    (run,) = lab.check_runs(sha)
    assert run["output"]["title"] == "Balanced 14.2 s of 20 s: return -312 (main -850 ± 50)"
    assert "main (same robot, 3 runs)" in run["output"]["summary"]
    assert "simulation" not in run["output"]["summary"]
    (run,) = lab.check_runs(first)
    assert run["output"]["title"] == "Balanced 14.2 s of 20 s: return -900"


def test_the_same_commit_in_simulation_is_shown(lab: Lab) -> None:
    sha = lab.world.push(SPOON, PROGRAM, user="alice", branch="better")
    lab.work()
    lab.branch(SPOON, "again", sha)
    finished(lab, -290, passport="simulated", robot="sim")
    with lab.here.db.write() as session:  # a second job of the commit, as a comment would make it
        session.execute(update(Job).values(trigger_key="other"))
    lab.branch(SPOON, "once-more", sha)
    lab.work()
    finished(lab, -312)
    latest = max(lab.check_runs(sha), key=lambda run: int(run["external_id"]))
    assert "| simulation (1 run) |" in latest["output"]["summary"]
    assert "\\-290" in latest["output"]["summary"]


def test_a_pull_request_is_compared_with_the_branch_it_would_change(lab: Lab) -> None:
    ran(lab, -900)
    develop = ran(lab, -500, branch="develop")
    lab.world.open_pull(SPOON, head="develop", base="main", user="alice")  # its runs stay the branch's own
    sha = ran(lab, -312, branch="better")
    lab.world.open_pull(SPOON, head="better", base="develop", user="alice")
    lab.work()
    assert {job.sha: job.base_branch for job in lab.jobs}[sha] == "develop"
    lab.world.comment(SPOON, 2, "/raas run", user="alice")
    lab.work()
    finished(lab, -300)
    newest = lab.check_runs(sha)[0]["output"]
    assert newest["title"].endswith("return -300 (develop -500)")
    assert "develop (same robot, 1 run)" in newest["summary"]
    assert "\\-900" not in newest["summary"]
    (own,) = lab.check_runs(develop)
    assert own["output"]["title"].endswith("return -500 (main -900)")


def test_a_simulation_that_ends_later_is_added(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    sha = lab.world.push(SPOON, {"a": "1"}, user="alice", branch="better")
    opened = lab.world.open_pull(SPOON, head="better", user="alice")
    lab.work()
    finished(lab, -312)
    (run,) = lab.check_runs(sha)
    assert "simulation" not in run["output"]["summary"]
    lab.world.comment(SPOON, opened["number"], "/raas run --sim", user="alice")
    lab.work()
    finished(lab, -290, passport="simulated", robot="sim")
    simulated, real = lab.check_runs(sha)
    assert (real["id"], real["conclusion"]) == (run["id"], "success")
    assert "| simulation (1 run) |" in real["output"]["summary"]
    assert "\\-290" in real["output"]["summary"]
    assert "| simulation (" not in simulated["output"]["summary"]
    assert {job.reported_event == job.latest_event for job in lab.jobs} == {True}


def test_the_picture_is_at_a_stable_address_for_those_who_may_see_it(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        sha = lab.world.push(SPOON, PROGRAM, user="alice")
        lab.work()
        holder = lab.claim()
        lab.start(holder)
        record(lab, holder.job_id, tmp_path / "trajectory.npz")
        lab.finish(holder, sessions=[{**SESSION, "scores": {"episode_return": -312.0}}])
        lab.work()
        (run,) = lab.check_runs(sha)
        address = f"/jobs/{holder.job_id}/plot.svg"
        assert f"(http://raas.test{address})" in run["output"]["summary"]
        client = lab.app.test_client()
        answer = client.get(address)
        assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
        assert answer.text.startswith("<svg")
        assert "max-age" in answer.headers["Cache-Control"]
        assert client.get("/jobs/99/plot.svg").status_code == 404
        with lab.here.db.write() as session:
            session.execute(update(Repository).values(private=True))
        assert client.get(address).status_code == 404


def test_a_damaged_recording_has_no_picture(lab: Lab, tmp_path: Path) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    holder = lab.claim()
    path = record(lab, holder.job_id, tmp_path / "trajectory.npz")
    path.write_bytes(b"PK no archive")
    assert lab.app.test_client().get(f"/jobs/{holder.job_id}/plot.svg").status_code == 404


def record(lab: Lab, job_id: int, path: Path) -> Path:
    """Store a recording of a job, as its runner would; gives the stored file."""
    header = Header("RaasPendulum-v1", 0.05, 400, ("theta", "theta_dot"), ("action",))
    rows = np.zeros((40, len(header.columns)))
    rows[:, 1] = np.arange(40) * 0.05
    Trajectory(header, rows).save_npz(path)
    data = path.read_bytes()
    with lab.here.db.write() as session:
        row = Artifact(
            job_id=job_id,
            attempt=1,
            name="trajectory.npz",
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            stored_at=datetime.now(UTC),
        )
        session.add(row)
        session.flush()
        stored = lab.here.store.local_path(artifacts.blob_of(row))
    assert stored is not None
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_bytes(data)
    return stored
