"""What must hold after a campaign. Each check yields what is wrong, in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tests.chaos.campaign import Campaign
from tests.chaos.records import JobRow, ledger
from tests.chaos.troubles import containers, volumes

ENDS = ("finished", "cancelled", "lost", "refused")
GAP = b"the output has a gap here"
KILLED = ("The program was ended by signal 9", "The precheck in simulation failed")
"""What a container that we killed looks like to the runner."""


def wrong(campaign: Campaign) -> list[str]:
    """Everything that does not hold; empty after a campaign that came right."""
    jobs = campaign.records.jobs()
    return [
        *campaign.problems,
        *_one_conclusion(jobs),
        *_one_job_a_push(campaign, jobs),
        *_never_twice_on_the_robot(campaign),
        *_check_runs_agree(campaign, jobs),
        *_ends_as_meant(campaign, jobs),
        *_logs_whole(campaign, jobs),
        *_artifacts_there(campaign, jobs),
        *_nothing_left(campaign),
        *campaign.stack.world.violations(),
    ]


def _one_conclusion(jobs: list[JobRow]) -> Iterator[str]:
    for job in jobs:
        if job.status != "completed" or job.conclusion is None:
            yield f"job {job.id} is {job.status}"
        ends = [kind for kind in job.events if kind in ENDS]
        amended = job.events.count("recovered")
        if len(ends) != 1:
            yield f"job {job.id} ended {len(ends)} times: {ends}"
        if amended > 1 or (amended and ends != ["lost"]):
            yield f"job {job.id} was amended {amended} times after {ends}"


def _one_job_a_push(campaign: Campaign, jobs: list[JobRow]) -> Iterator[str]:
    automatic = Counter(job.sha for job in jobs if job.trigger == "push")
    for _, sha in campaign.commits:
        if automatic[sha] != 1:
            yield f"the push of {sha[:7]} made {automatic[sha]} jobs"


def _never_twice_on_the_robot(campaign: Campaign) -> Iterator[str]:
    sessions = ledger(campaign.stack.data / "controller" / "ledger.jsonl")
    for session, times in Counter(sessions).items():
        if times > 1:
            yield f"session {session} is in the ledger {times} times"
    for job, attempts in Counter(job for job, _ in {(job, attempt) for job, attempt, _ in sessions}).items():
        if attempts > 1:
            yield f"job {job} drove the robot in {attempts} attempts"


def _check_runs_agree(campaign: Campaign, jobs: list[JobRow]) -> Iterator[str]:
    world, app = campaign.stack.world, campaign.stack.app
    shown = {
        run["id"]: run
        for name, sha in campaign.commits
        for run in world.every(name, f"/commits/{sha}/check-runs?filter=all", "check_runs")
        if run["app"]["id"] == app.id
    }
    by_job = Counter(run["external_id"] for run in shown.values())
    for job in jobs:
        if by_job[str(job.id)] != 1:
            yield f"job {job.id} has {by_job[str(job.id)]} check runs"
        run = shown.get(job.check_run_id or 0)
        if run is None or (run["status"], run["conclusion"]) != (job.status, job.conclusion):
            told = run and (run["status"], run["conclusion"])
            yield f"job {job.id} is {job.status}, {job.conclusion}; its check run says {told}"


def _ends_as_meant(campaign: Campaign, jobs: list[JobRow]) -> Iterator[str]:
    """A job ends as its program would, or says what hit it: never blame a program for our trouble."""
    killed = any(name.startswith("container ") for name in campaign.hits)
    for job in jobs:
        meant = campaign.programs[job.sha].conclusion
        hit = killed and job.conclusion == "failure" and (job.reason or "").startswith(KILLED)
        if job.conclusion not in {meant, "neutral", "cancelled"} and not hit:
            yield f"job {job.id} is {job.conclusion} ({job.reason}); its program ends as {meant}"


def _logs_whole(campaign: Campaign, jobs: list[JobRow]) -> Iterator[str]:
    logs = campaign.records.logs()
    for job in jobs:
        log = logs.get((job.id, job.attempt), b"")
        if len(log) != job.log_length:
            yield f"job {job.id} has {len(log)} bytes of log, and says {job.log_length}"
        if job.conclusion != "success" or GAP in log:
            continue
        program = campaign.programs[job.sha]
        body = log.rpartition(b"raas: precheck passed\n")[2].decode()
        if re.findall(r"^line (\d+) \.+$", body, re.MULTILINE) != program.lines():
            yield f"job {job.id} succeeded, but its log misses lines or has some twice"


def _artifacts_there(campaign: Campaign, jobs: list[JobRow]) -> Iterator[str]:
    for job in jobs:
        missing = {"trajectory.csv", "trajectory.npz", "log.txt"} - campaign.records.artifacts(job.id)
        if job.conclusion == "success" and missing:
            yield f"job {job.id} succeeded without {sorted(missing)}"


def _nothing_left(campaign: Campaign) -> Iterator[str]:
    yield from (f"left in Docker: {name}" for name in containers(campaign.stack) + volumes(campaign.stack))
    yield from (f"left by the runner: {path.name}" for path in campaign.held())
    aside = campaign.stack.data / "runner" / "aside"
    if aside.exists():
        yield from (f"set aside by the runner: {path.name}" for path in aside.iterdir())
