"""The server's side of the JOB CONTRACT over HTTP; `runner.protocol` says what each call means."""

from __future__ import annotations

import logging
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import IO

from flask import Blueprint, Response, g, request
from sqlalchemy.orm import Session

from github_app import (
    allowance,
    answers,
    artifacts,
    background,
    callers,
    claims,
    leases,
    presence,
    previews,
    services,
    swift_claim,
    tokens,
    verification,
)
from github_app.answers import ApiError
from github_app.callers import Caller
from github_app.claims import ClaimRequest
from github_app.leases import Holder
from github_app.models import Artifact, Job, Runner
from github_app.moves import utc_now
from github_app.rules import RobotRules
from github_app.services import Services
from github_app.source import open_source
from github_app.stores import Blob
from github_app.swift_claim import Claimed
from runner.protocol import (
    FENCE_HEADER,
    MAX_BODY,
    PREFIX,
    PROTOCOL_HEADER,
    PROTOCOL_VERSION,
    SERVER_HEADER,
    ArtifactGrant,
    ArtifactsGrant,
    ArtifactsOffer,
    Claim,
    ClaimedJob,
    Fenced,
    Finish,
    Heartbeat,
    JobLimits,
    Register,
    Telemetry,
)

log = logging.getLogger(__name__)

blueprint = Blueprint("api", __name__, url_prefix=PREFIX)

SPOOL_MEMORY = 4 << 20
PIECE = 1 << 16
READ_AT_ONCE = 1 << 20
"""A file that its store took unread is read before it is confirmed, up to this size [bytes]."""
BEGUN_AT_ONCE = 8
"""Uploads that the store is asked to make ready for at the same time."""
SPREAD = 0.75
"""A runner that waits in vain is sent away after this share of its time at the earliest."""


@blueprint.before_request
def check_caller() -> None:
    """Refuse who speaks another protocol, or is none of our runners, before anything else is looked at."""
    request.max_content_length = MAX_BODY
    spoken = request.headers.get(PROTOCOL_HEADER)
    if spoken != str(PROTOCOL_VERSION):
        raise ApiError(
            426,
            "protocol",
            f"this server speaks {PROTOCOL_HEADER} {PROTOCOL_VERSION}, you {spoken or 'none'};"
            " install the version of raas that the server runs",
        )
    if request.endpoint == "api.claim":
        with services.current().dispatcher.door:
            g.caller = _caller()
    elif request.endpoint != "api.register":
        g.caller = _caller()


def _caller() -> Caller:
    """Whose bearer token the request carries.

    Raises:
        ApiError: Nobody's (401).
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        found = callers.find(services.current().db, token.strip())
        if found is not None:
            return found
    raise ApiError(
        401,
        "unauthorized",
        "the runner's token is unknown or revoked; register again with `raas-server runner add`",
        WWW_Authenticate="Bearer",
    )


@blueprint.post("/register")
def register() -> Response:
    """A one-time token for the runner's own."""
    message = answers.body(Register)
    with services.current().db.write() as session:
        registered = tokens.register(session, message.token, message.software, utc_now())
    if registered is None:
        raise ApiError(
            401,
            "unauthorized",
            "the one-time token is unknown, used or too old; make a new one with `raas-server runner add`",
        )
    return answers.message(registered)


@blueprint.post("/claim")
def claim() -> Response:
    """Wait for a job. The wait holds a greenlet, and no connection to the database."""
    here, wish = services.current(), answers.body(Claim)
    caller: Caller = g.caller
    request_ = ClaimRequest(caller.id, wish.key, wish.robot, wish.software, wish.ahead)
    if here.dispatcher.closed:
        raise ApiError(503, "stopping", "the server is stopping; try again soon", Retry_After="1")
    # Those who began together, after a start of the server, do not all come back in the same second.
    deadline = time.monotonic() + wish.wait_s * random.uniform(SPREAD, 1)  # noqa: S311 - guards nothing
    rules = allowance.robot_rules(caller)
    with here.dispatcher.waiting(caller.id, _labels(caller, rules, request_)) as waiter:
        with here.dispatcher.door:
            job = _first_look(here, caller, rules, request_)
        while job is None and not waiter.dismissed and (left := deadline - time.monotonic()) > 0:
            if waiter.wait(left):
                job = _try_claim(here, rules, request_)
                if job is None:  # drained meanwhile? Then calls are for others
                    waiter.labels = _labels(_runner(here, caller.id), rules, request_)
    if job is None:
        return answers.nothing()
    answer = answers.message(claimed_job(here, job))
    answer.headers[SERVER_HEADER] = here.identity.name
    return answer


def _first_look(here: Services, caller: Caller, rules: RobotRules, wish: ClaimRequest) -> Claimed | None:
    """Note that the runner is there, and what it says; see whether there is a job for it."""
    now, said = utc_now(), _in_hours(rules, wish)
    if presence.is_news(caller, said):
        with here.db.write() as session:
            presence.note(session, caller, said, now)
    elif not presence.is_fresh(caller, now):
        wish = replace(wish, arrives=True)
    return _try_claim(here, rules, wish)


def _runner(here: Services, number: int) -> Runner:
    with here.db.read() as session:
        return session.get_one(Runner, number)


def _labels(runner: Runner | Caller, rules: RobotRules, wish: ClaimRequest) -> frozenset[str] | None:
    """What the runner answers to; None where it is not to be called: unwell, closed, drained or busy."""
    robot = _in_hours(rules, wish).robot
    if wish.ahead or not robot.healthy or runner.drained_at is not None:
        return None
    return claims.served_labels(runner.name, runner.labels, robot)


def _in_hours(rules: RobotRules, wish: ClaimRequest) -> ClaimRequest:
    return replace(wish, robot=allowance.in_hours(rules, wish.robot, utc_now()))


def _try_claim(here: Services, rules: RobotRules, wish: ClaimRequest) -> Claimed | None:
    return swift_claim.claim(here.db, _in_hours(rules, wish), lease_s=here.settings.lease_s)


def claimed_job(here: Services, job: Claimed) -> ClaimedJob:
    """The job as its runner sees it."""
    limits = here.settings
    log.info("job %s: claimed (attempt %s)", job.id, job.attempt)
    return ClaimedJob(
        id=job.id,
        attempt=job.attempt,
        fence=job.fence,
        repository=job.repository,
        sha=job.sha,
        ref=job.ref,
        config=job.config,
        sessions=min(job.sessions, limits.sessions_max),
        limits=JobLimits(
            timeout_s=min(job.timeout_s, limits.timeout_max_s),
            prepare_s=limits.prepare_s,
            source_bytes_max=limits.source_bytes_max,
            log_bytes_max=limits.log_bytes_max,
            artifact_bytes_max=limits.artifact_bytes_max,
            artifact_count_max=limits.artifact_count_max,
        ),
        lease_s=limits.lease_s,
        heartbeat_s=limits.heartbeat_s,
        url=f"{limits.public_url}/jobs/{job.id}",
    )


@blueprint.get("/jobs/<int:job_id>/source")
def source(job_id: int) -> Response:
    """The commit as a tarball. It is fetched whole before it is passed on: its errors have to come first."""
    here = services.current()
    holder = Holder(g.caller.id, job_id, request.headers.get(FENCE_HEADER, ""))
    with here.db.write() as session:
        job = leases.held(session, holder)
    spool = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed when the response is
        SPOOL_MEMORY, mode="w+b", dir=str(here.settings.data_dir)
    )
    try:
        with open_source(here.github, job) as chunks:
            for chunk in chunks:
                spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    length = spool.tell()
    spool.seek(0)
    response = Response(_drain(spool), mimetype="application/gzip")
    response.call_on_close(spool.close)
    response.content_length = length
    return response


def _drain(spool: IO[bytes]) -> Iterator[bytes]:
    while piece := spool.read(PIECE):
        yield piece


@blueprint.post("/jobs/<int:job_id>/running")
def running(job_id: int) -> Response:
    """The robot may move."""
    here = services.current()
    holder = Holder(g.caller.id, job_id, answers.body(Fenced).fence)
    with here.db.write() as session:
        leases.start(session, holder, background.lease_rules(here))
    return answers.nothing()


@blueprint.post("/jobs/<int:job_id>/heartbeat")
def heartbeat(job_id: int) -> Response:
    """The runner is alive."""
    here, message = services.current(), answers.body(Heartbeat)
    holder = Holder(g.caller.id, job_id, message.fence)
    with here.db.write() as session:
        answer = leases.heartbeat(session, holder, message, background.lease_rules(here))
    return answers.message(answer)


@blueprint.post("/jobs/<int:job_id>/telemetry")
def telemetry(job_id: int) -> Response:
    """The latest ticks, for live pages."""
    here, message = services.current(), answers.body(Telemetry)
    holder = Holder(g.caller.id, job_id, message.fence)
    if not here.telemetry.trusts(holder.runner_id, job_id, holder.fence):
        with here.db.read() as session:
            _check_fence(session, holder)
        here.telemetry.trust(holder.runner_id, job_id, holder.fence)
    here.telemetry.put(job_id, message)
    return answers.nothing()


def _check_fence(session: Session, holder: Holder) -> None:
    """As `leases.held`, without the lock: a telemetry post that comes a moment late does no harm."""
    job = session.get(Job, holder.job_id)
    if job is None or job.fence != holder.fence or job.runner_id != holder.runner_id:
        raise leases.StaleFenceError(f"the lease of job {holder.job_id} was lost; stop it")


@blueprint.post("/jobs/<int:job_id>/artifacts")
def offer_artifacts(job_id: int) -> Response:
    """Where to put files."""
    here, message = services.current(), answers.body(ArtifactsOffer)
    holder = Holder(g.caller.id, job_id, message.fence)
    with here.db.write() as session:
        job = leases.held(session, holder, or_lost=True)
        rows = artifacts.offer(session, job, message.files, here.settings)
    begun = _begin(here, holder, [row for row in rows if row.stored_at is None])
    grants = [
        ArtifactGrant(
            id=row.id, name=row.name, upload=here.store.upload(begun[row.id]) if row.id in begun else None
        )
        for row in rows
    ]
    return answers.message(ArtifactsGrant(files=grants))


def _begin(here: Services, holder: Holder, rows: Sequence[Artifact]) -> dict[int, Blob]:
    """Make the store ready for files; what was made ready for them before is given up."""
    with ThreadPoolExecutor(BEGUN_AT_ONCE) as pool:
        begun = dict(
            zip((row.id for row in rows), pool.map(here.store.begin, map(artifacts.fresh, rows)), strict=True)
        )
    before = []
    with here.db.write() as session:
        job = leases.held(session, holder, or_lost=True)
        for number, blob in begun.items():
            row = artifacts.find(session, job, number)
            before.append(artifacts.blob_of(row))
            artifacts.mark_begun(row, blob)
    for blob in before:
        if blob.ticket is not None:
            here.store.settle(blob)
    return begun


@blueprint.post("/jobs/<int:job_id>/artifacts/<int:artifact_id>/stored")
def artifact_stored(job_id: int, artifact_id: int) -> Response:
    """A file is uploaded: nothing takes its place now. Large ones that nobody has read are read later."""
    here = services.current()
    holder = Holder(g.caller.id, job_id, answers.body(Fenced).fence)
    with here.db.write() as session:
        row = artifacts.find(session, leases.held(session, holder, or_lost=True), artifact_id)
    if row.stored_at is not None:
        return answers.nothing()
    blob = artifacts.blob_of(row)
    verified = here.store.confirm(blob)
    if not verified and blob.size <= READ_AT_ONCE:
        here.store.verify(blob)
        verified = True
    head = previews.head(here.store, blob, row.name) if verified else None
    with here.db.write() as session:
        row = artifacts.find(session, leases.held(session, holder, or_lost=True), artifact_id)
        artifacts.mark_stored(row, blob, utc_now())
        if verified:
            artifacts.mark_verified(row, blob, head, utc_now())
    if verified:
        here.store.settle(blob)
    else:
        here.wakeups.notify_here(verification.TOPIC)
    return answers.nothing()


@blueprint.post("/jobs/<int:job_id>/finish")
def finish(job_id: int) -> Response:
    """The job is over."""
    here, message = services.current(), answers.body(Finish)
    holder = Holder(g.caller.id, job_id, message.fence)
    with here.db.write() as session:
        leases.finish(session, holder, message, background.lease_rules(here))
    return answers.nothing()


@blueprint.post("/jobs/<int:job_id>/release")
def release(job_id: int) -> Response:
    """Back into the queue."""
    here = services.current()
    holder = Holder(g.caller.id, job_id, answers.body(Fenced).fence)
    with here.db.write() as session:
        leases.release(session, holder)
    return answers.nothing()
