"""A claim on PostgreSQL as one statement, and so one round trip, which is its own transaction.

It does what `claims.claim` does where nothing is in the way, which is nearly always, and leaves everything
else to that. The cost does not depend on how many jobs wait: a look-up for each lane, then the head of one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from github_app import ahead, claims
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.models import Job
from github_app.moves import utc_now

STATEMENT = """
    WITH RECURSIVE me AS (
        UPDATE runners SET seen_at = %(now)s, software = %(software)s, robot = %(robot)s
        WHERE id = %(runner)s AND revoked_at IS NULL
        RETURNING id, name, labels, drained_at IS NULL AS open
    ), served AS MATERIALIZED (
        SELECT ARRAY(SELECT jsonb_array_elements_text(labels))
            || ARRAY[name::text, %(kind)s::text, %(plant)s::text] AS labels FROM me
    ), mine AS (
        SELECT status, claim_key FROM jobs WHERE runner_id = %(runner)s AND status IN ('claimed', 'running')
        UNION ALL
        SELECT status, claim_key FROM jobs WHERE claim_key = %(key)s
    ), lanes(lane) AS (
        (SELECT lane FROM jobs WHERE status = 'queued' ORDER BY lane LIMIT 1)
        UNION ALL
        SELECT (
            SELECT lane FROM jobs WHERE status = 'queued' AND jobs.lane > lanes.lane ORDER BY lane LIMIT 1
        ) FROM lanes WHERE lanes.lane IS NOT NULL
    ), best AS MATERIALIZED (
        SELECT lanes.lane FROM lanes CROSS JOIN LATERAL (
            SELECT order_key, id FROM jobs WHERE status = 'queued' AND jobs.lane = lanes.lane
            ORDER BY order_key, id LIMIT 1
        ) AS first
        WHERE (
            SELECT bool_and(CASE WHEN left(part, 1) = '!' THEN NOT substr(part, 2) = ANY(served.labels)
                ELSE part = ANY(served.labels) END)
            FROM unnest(string_to_array(lanes.lane, ',')) AS part, served
        ) IS NOT FALSE
        ORDER BY first.order_key, first.id LIMIT 1
    ), head AS MATERIALIZED (
        SELECT id FROM jobs WHERE status = 'queued' AND lane = (SELECT lane FROM best)
            AND NOT EXISTS (SELECT 1 FROM mine WHERE status = 'claimed' OR claim_key = %(key)s)
            AND %(healthy)s AND (SELECT open FROM me)
        ORDER BY order_key, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE jobs SET status = 'claimed', runner_id = me.id, claim_key = %(key)s, fence = %(fence)s,
            attempt = attempt + 1, claimed_at = %(now)s, lease_expires_at = %(expires)s, log_length = 0,
            ahead = %(ahead)s, phase = '', latest_event = nextval('job_events_id_seq')
        FROM me, head WHERE jobs.id = head.id AND jobs.status = 'queued'
        RETURNING jobs.id, attempt, repository_id, sha, ref, config, sessions, timeout_s, latest_event,
            me.name
    ), event AS (
        INSERT INTO job_events (id, job_id, at, kind, data)
        SELECT latest_event, id, %(now)s, 'claimed', jsonb_build_object('runner', name, 'attempt', attempt)
        FROM taken
    )
    SELECT taken.id, attempt, repositories.owner || '/' || repositories.name, sha, ref, config, sessions,
        timeout_s,
        EXISTS (SELECT 1 FROM me) AND NOT EXISTS (SELECT 1 FROM mine WHERE claim_key = %(key)s)
            AND NOT EXISTS (SELECT 1 FROM mine WHERE status = 'claimed')
            AND (NOT %(healthy)s OR NOT (SELECT open FROM me) OR NOT EXISTS (SELECT 1 FROM best)
                AND (%(ahead)s OR NOT EXISTS (SELECT 1 FROM jobs WHERE status = 'claimed' AND ahead)))
            AS nothing
    FROM (SELECT 1) AS one LEFT JOIN taken ON TRUE LEFT JOIN repositories ON repositories.id = repository_id
"""
"""One row. `nothing`: no job for this runner, none that another one holds ahead, and nothing to clear up."""


@dataclass(frozen=True)
class Claimed:
    """What a runner has to know of the job it got; the fields are those of `models.Job`."""

    id: int
    attempt: int
    fence: str
    repository: str
    sha: str
    ref: str
    config: dict[str, Any]
    sessions: int
    timeout_s: float


def claim(
    database: Database, request: ClaimRequest, *, lease_s: float, now: datetime | None = None
) -> Claimed | None:
    """The next job for this runner, or None, in a transaction of its own.

    Raises:
        claims.KeySpentError: The job of this key is over.
        claims.NoSuchRunnerError: The runner is unknown.
    """
    now = now or utc_now()
    if not database.is_sqlite:
        settled, claimed = _at_once(database, request, lease_s, now)
        if settled:
            return claimed
    with database.write() as session:
        job = claims.claim(session, request, lease_s=lease_s, now=now)
        if job is None and ahead.give_up(session, database, request, now):
            job = claims.claim(session, request, lease_s=lease_s, now=now)
        return None if job is None else _known(job)


def _at_once(
    database: Database, request: ClaimRequest, lease_s: float, now: datetime
) -> tuple[bool, Claimed | None]:
    """One try with one statement: whether that settled it, and the job.

    Two claims of one runner at the same moment do not see each other here, as they do in `claims.claim`, but
    the second fails (a claim key is unique, so is a runner among the claimed jobs) and is made anew there.
    """
    fence = secrets.token_hex(16)
    values = {
        "runner": request.runner_id,
        "key": request.key,
        "fence": fence,
        "software": request.software,
        "robot": Jsonb(request.robot.model_dump(mode="json")),
        "kind": request.robot.kind,
        "plant": request.robot.plant,
        "healthy": request.robot.healthy,
        "ahead": request.ahead,
        "now": now,
        "expires": now + timedelta(seconds=lease_s),
    }
    try:
        with database.statement() as connection:
            row = connection.execute(STATEMENT, values, prepare=True).fetchone()
    except (psycopg.errors.UniqueViolation, psycopg.OperationalError):
        return False, None  # whatever became of it, `claims.claim` finds out by the key
    if row is None or row[0] is None:
        return bool(row and row[-1]), None
    job_id, attempt, repository, *rest, _ = row
    database.tell("checks", f"job:{job_id}", "queue")  # the next runner may look for the next job
    return True, Claimed(job_id, attempt, fence, repository, *rest)


def _known(job: Job) -> Claimed:
    return Claimed(
        id=job.id,
        attempt=job.attempt,
        fence=job.fence or "",
        repository=job.repository.full_name,
        sha=job.sha,
        ref=job.ref,
        config=job.config,
        sessions=job.sessions,
        timeout_s=job.timeout_s,
    )
