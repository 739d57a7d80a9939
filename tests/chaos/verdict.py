"""What must hold after a campaign. Each check yields what is wrong, in words."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

import requests

from tests.chaos.campaign import Campaign
from tests.chaos.records import JobRow, ledger
from tests.chaos.troubles import containers, volumes

ENDS = ("finished", "cancelled", "lost", "refused")
GAP = b"the output has a gap here"
KILLED = ("The program was killed (SIGKILL)", "The precheck in simulation failed")
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
        *_artifacts_whole(campaign, jobs),
        *_webhooks_accounted_for(campaign),
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
    files = campaign.stack.data.glob("controller*/ledger.jsonl")
    sessions = [session for file in files for session in ledger(file)]
    for session, times in Counter(sessions).items():
        if times > 1:
            yield f"session {session} is in the ledgers {times} times"
    for job, attempts in Counter(job for job, _ in {(job, attempt) for job, attempt, _ in sessions}).items():
        if attempts > 1:
            yield f"job {job} drove a robot in {attempts} attempts"


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
    # an engine that is killed takes its containers with it
    killed = any(name.startswith(("container ", "docker ")) for name in campaign.hits)
    signs = KILLED if killed else ()
    for job in jobs:
        meant = campaign.programs[job.sha].conclusion
        hit = job.conclusion == "failure" and (job.reason or "").startswith(signs)
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


def _artifacts_whole(campaign: Campaign, jobs: list[JobRow]) -> Iterator[str]:
    """What was acknowledged can be fetched as it was, with every tick that the controller counted."""
    acknowledged = campaign.records.artifacts()
    logs = campaign.records.logs()
    for job in jobs:
        files: dict[str, bytes] = {}
        for row in acknowledged.get((job.id, job.attempt), []):
            files[row.name] = _fetched(f"{campaign.stack.url}/jobs/{job.id}/artifacts/{row.name}")
            if hashlib.sha256(files[row.name]).hexdigest() != row.sha256:
                yield f"job {job.id}: {row.name} is not what was acknowledged"
        missing = {"trajectory.csv", "trajectory.npz", "log.txt"} - set(files)
        if job.conclusion == "success" and missing:
            yield f"job {job.id} succeeded without {sorted(missing)}"
        rows = len(files["trajectory.csv"].splitlines()) - 1 if "trajectory.csv" in files else 0
        if job.status == "completed" and "trajectory.csv" in files and (rows,) != job.ticks:
            yield f"job {job.id}: its trajectory has {rows} rows of {job.ticks}"
        log = logs.get((job.id, job.attempt), b"")
        if job.conclusion == "success" and not log.startswith(files.get("log.txt", b"")):
            yield f"job {job.id}: the server's log is not the one that the runner kept"


def _fetched(url: str) -> bytes:
    answer = requests.get(url, timeout=60)
    answer.raise_for_status()
    return answer.content


def _webhooks_accounted_for(campaign: Campaign) -> Iterator[str]:
    stored = campaign.records.deliveries()
    for sent in {one.guid for one in campaign.stack.world.deliveries()}:
        found = stored.get(sent)
        if found is None:
            yield f"webhook {sent} was sent and is not stored"
        elif not found.processed or found.outcome is None or found.error is not None:
            yield f"webhook {sent} was not worked on: {found.outcome}, {found.error}"


def _nothing_left(campaign: Campaign) -> Iterator[str]:
    yield from (f"left in Docker: {name}" for name in containers(campaign.stack) + volumes(campaign.stack))
    yield from (f"left by the runner: {path.name}" for path in campaign.held())
    aside = campaign.stack.data.glob("runner*/aside/*")
    yield from (f"set aside by the runner: {path.name}" for path in aside)
    recordings = campaign.stack.data.glob("controller*/results/*")
    yield from (f"kept by the controller: {path.name}" for path in recordings)
    temporary = (campaign.stack.data / "tmp").rglob("*")
    yield from (f"left in the temporary folder: {path.name}" for path in temporary)
