"""A claim on PostgreSQL as one statement, and so one round trip, which is its own transaction.

It does what `claims.claim` does where nothing is in the way, which is nearly always, and leaves everything
else to that. The cost does not depend on how many jobs wait: the head of each lane, read from the index once.
What stands in the way is not looked for where there is a job: unique indexes (a claim key, a runner among the
claimed jobs) refuse the claim, which then is made anew in `claims.claim`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from github_app import ahead, claims
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.models import Job
from github_app.moves import utc_now
from github_app.statements import Statements

_ARRIVE = """
    here AS (
        UPDATE runners SET seen_at = %(now)s WHERE id = %(runner)s AND revoked_at IS NULL
    ),
"""

_LOOK = """
    me AS MATERIALIZED (
        SELECT id, name, ARRAY(SELECT jsonb_array_elements_text(labels))
            || ARRAY[name::text, %(kind)s::text, %(plant)s::text] AS labels
        FROM runners WHERE id = %(runner)s AND revoked_at IS NULL AND drained_at IS NULL AND %(healthy)s
    ), heads AS (
        (SELECT lane, order_key, id FROM jobs WHERE status = 'queued' ORDER BY lane, order_key, id LIMIT 1)
        UNION ALL
        SELECT next.lane, next.order_key, next.id FROM heads CROSS JOIN LATERAL (
            SELECT lane, order_key, id FROM jobs WHERE status = 'queued' AND jobs.lane > heads.lane
            ORDER BY lane, order_key, id LIMIT 1
        ) AS next
    ), best AS MATERIALIZED (
        SELECT lane, order_key, heads.id, me.id AS runner, name FROM heads CROSS JOIN me
        WHERE CASE WHEN strpos(lane, '!') = 0 THEN string_to_array(lane, ',') <@ labels ELSE (
            SELECT bool_and(CASE WHEN left(part, 1) = '!' THEN NOT substr(part, 2) = ANY(labels)
                ELSE part = ANY(labels) END)
            FROM unnest(string_to_array(lane, ',')) AS part
        ) END
        ORDER BY order_key, heads.id LIMIT 1
    ), taken AS (
        UPDATE jobs SET status = 'claimed', runner_id = best.runner, claim_key = %(key)s, fence = %(fence)s,
            attempt = attempt + 1, claimed_at = %(now)s, lease_expires_at = %(expires)s, log_length = 0,
            ahead = %(ahead)s, phase = '', latest_event = nextval('job_events_id_seq')
        FROM best WHERE jobs.status = 'queued' AND jobs.id = (
            SELECT id FROM jobs WHERE status = 'queued' AND lane = (SELECT lane FROM best)
                AND (order_key, id) >= ((SELECT order_key FROM best), (SELECT id FROM best))
            ORDER BY order_key, id LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        RETURNING jobs.id, attempt, repository_id, sha, ref, config, sessions, timeout_s, latest_event,
            best.name
    ), event AS (
        INSERT INTO job_events (id, job_id, at, kind, data)
        SELECT latest_event, id, %(now)s, 'claimed', jsonb_build_object('runner', name, 'attempt', attempt)
        FROM taken
    )
"""

_FOUND = """
    SELECT
        best.id IS NULL AND ({settled}) AS nothing,
        taken.id, attempt, (SELECT owner || '/' || name FROM repositories WHERE id = repository_id),
        sha, ref, config, sessions, timeout_s
    FROM (SELECT) AS always LEFT JOIN best ON TRUE LEFT JOIN taken ON TRUE
"""

SETTLED = """
    SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE claim_key = %(key)s)
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE runner_id = runners.id AND status = 'claimed')
        AND (%(ahead)s OR NOT %(healthy)s OR drained_at IS NOT NULL
            OR NOT EXISTS (SELECT 1 FROM jobs WHERE status = 'claimed' AND jobs.ahead))
    FROM runners WHERE id = %(runner)s AND revoked_at IS NULL
"""
"""Whether it is all that no job waits: none has this key, none is held ahead, and nothing is to clear up."""

TAKE = "WITH RECURSIVE" + _LOOK + _FOUND.format(settled=True)
"""Take the first job for this runner, if there is one.

The row begins with whether no job waits for it. If one does, and there is no job in the row either, somebody
has it just now. The search for a job that nobody has locked begins where the lane's first is: what lies
before it in the index was claimed since the last VACUUM, and is stepped over once instead of three times.
"""

ARRIVE = "WITH RECURSIVE" + _ARRIVE + _LOOK + _FOUND.format(settled=SETTLED)
"""The same, the runner is noted as seen, and where no job waits for it, whether that is all.

A poll's first look mostly finds no job. Who was called to one mostly finds it, and asks for the rest only
where it came too late: to make ready for that question costs PostgreSQL a fifteenth of a claim.
"""


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
    if database.statements is not None:
        settled, claimed = _at_once(database, database.statements, request, lease_s, now)
        if settled:
            return claimed
    with database.write() as session:
        job = claims.claim(session, request, lease_s=lease_s, now=now)
        if job is None and ahead.give_up(session, database, request, now):
            job = claims.claim(session, request, lease_s=lease_s, now=now)
        return None if job is None else _known(job)


def _at_once(
    database: Database, statements: Statements, request: ClaimRequest, lease_s: float, now: datetime
) -> tuple[bool, Claimed | None]:
    """One try; whether that settled it, and the job."""
    fence = secrets.token_hex(16)
    values = {
        "runner": request.runner_id,
        "key": request.key,
        "fence": fence,
        "healthy": request.robot.healthy,
        "kind": request.robot.kind,
        "plant": request.robot.plant,
        "ahead": request.ahead,
        "now": now,
        "expires": now + timedelta(seconds=lease_s),
    }
    try:
        row = statements.row(ARRIVE if request.arrives else TAKE, values)
        nothing, job_id, attempt, repository, *rest = row or (None,) * 9
        if nothing and not request.arrives:
            (nothing,) = statements.row(SETTLED, values) or (None,)
    except (psycopg.errors.UniqueViolation, psycopg.OperationalError):
        return False, None  # whatever became of it, `claims.claim` finds out by the key
    if job_id is None:
        return nothing is True, None
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
