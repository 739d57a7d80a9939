"""Claims that meet in one server process are made together: one transaction and one commit for all of them.

Whoever claims while nobody else does is served at once and alone (`swift_claim`). Who comes while a claim is
on its way waits for it, and then all who wait are served by two round trips: one looks at the runners and the
heads of the lanes, one takes the jobs. So nobody waits for company, and the more claim at once, the less each
costs. What is answered was committed before.

Each runner gets what it would have got alone, one after the other. Where something is in the way of one of
them, a job somebody else has just taken or a claim to be cleared up, that one claims alone afterwards.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy.exc import SQLAlchemyError

from github_app import claims, swift_claim
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.moves import utc_now
from github_app.swift_claim import Claimed

log = logging.getLogger(__name__)

GROUP_MAX = 32

RUNNERS = "SELECT id, name, labels FROM runners WHERE id = ANY(%(runners)s) AND revoked_at IS NULL"
HEADS = """
    WITH RECURSIVE lanes(lane) AS (
        (SELECT lane FROM jobs WHERE status = 'queued' ORDER BY lane LIMIT 1)
        UNION ALL
        SELECT (
            SELECT lane FROM jobs WHERE status = 'queued' AND jobs.lane > lanes.lane ORDER BY lane LIMIT 1
        ) FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT first.order_key, first.id, lanes.lane FROM lanes CROSS JOIN LATERAL (
        SELECT order_key, id FROM jobs WHERE status = 'queued' AND jobs.lane = lanes.lane
        ORDER BY order_key, id LIMIT %(count)s
    ) AS first
    ORDER BY first.order_key, first.id
"""
TAKE = """
    WITH wish AS MATERIALIZED (
        SELECT * FROM unnest(%(jobs)s::bigint[], %(runners)s::bigint[], %(keys)s::text[], %(fences)s::text[],
            %(software)s::text[], %(robots)s::jsonb[], %(ahead)s::bool[])
            AS wish(job, runner, key, fence, software, robot, ahead)
    ), me AS (
        UPDATE runners SET seen_at = %(now)s, software = wish.software, robot = wish.robot
        FROM wish WHERE runners.id = wish.runner AND revoked_at IS NULL
        RETURNING runners.id, name
    ), free AS MATERIALIZED (
        SELECT id FROM jobs WHERE id = ANY(%(jobs)s) AND status = 'queued' ORDER BY id FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE jobs SET status = 'claimed', runner_id = me.id, claim_key = wish.key, fence = wish.fence,
            attempt = attempt + 1, claimed_at = %(now)s, lease_expires_at = %(expires)s, log_length = 0,
            ahead = wish.ahead, phase = '', latest_event = nextval('job_events_id_seq')
        FROM wish, me, free
        WHERE jobs.id = wish.job AND free.id = wish.job AND me.id = wish.runner AND jobs.status = 'queued'
            AND NOT EXISTS (
                SELECT 1 FROM jobs AS mine WHERE mine.runner_id = wish.runner AND mine.status = 'claimed'
                    AND mine.status IN ('claimed', 'running')
            )
            AND NOT EXISTS (SELECT 1 FROM jobs AS mine WHERE mine.claim_key = wish.key)
        RETURNING jobs.id, attempt, jobs.fence, repository_id, sha, ref, config, sessions, timeout_s,
            latest_event, me.name, me.id AS runner
    ), event AS (
        INSERT INTO job_events (id, job_id, at, kind, data)
        SELECT latest_event, id, %(now)s, 'claimed', jsonb_build_object('runner', name, 'attempt', attempt)
        FROM taken
    )
    SELECT runner, taken.id, attempt, fence, repositories.owner || '/' || repositories.name, sha, ref, config,
        sessions, timeout_s
    FROM taken JOIN repositories ON repositories.id = repository_id
"""


@dataclass
class Ticket:
    """One claim on its way.

    Attributes:
        turn: Set when there is an answer, or when the ticket's owner has to serve all who wait.
        served: Whether a group dealt with it.
        claimed: What the group got for it; None: claim alone.
    """

    request: ClaimRequest
    turn: threading.Event = field(default_factory=threading.Event)
    served: bool = False
    claimed: Claimed | None = None


class ClaimDesk:
    """Where the claims of one process meet. Safe for threads and greenlets.

    Args:
        database: Where the jobs are; on SQLite, which has one writer anyway, each claims alone.
        lease_s: How long a claim holds without a heartbeat [s].
    """

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database, self._lease_s = database, lease_s
        self._lock = threading.Lock()
        self._waiting: deque[Ticket] = deque()
        self._busy = False

    def claim(self, request: ClaimRequest) -> Claimed | None:
        """The next job for this runner, or None.

        Raises:
            claims.KeySpentError: The job of this key is over.
            claims.NoSuchRunnerError: The runner is unknown.
        """
        if self._database.is_sqlite:
            return self._alone(request)
        ticket = Ticket(request)
        with self._lock:
            self._waiting.append(ticket)
            leads, self._busy = not self._busy, True
        if not leads:
            ticket.turn.wait()
        if ticket.served:
            return ticket.claimed or self._alone(request)
        return self._lead(ticket)

    def _lead(self, ticket: Ticket) -> Claimed | None:
        """Serve all who wait, then let the next one do the same."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]
        try:
            if len(group) == 1:
                return self._alone(ticket.request)
            self._together(group)
        finally:
            for other in group:
                other.served = True
                other.turn.set()
            with self._lock:
                self._busy = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].turn.set()
        return ticket.claimed or self._alone(ticket.request)

    def _alone(self, request: ClaimRequest) -> Claimed | None:
        return swift_claim.claim(self._database, request, lease_s=self._lease_s)

    def _together(self, group: Sequence[Ticket]) -> None:
        wishes = {ticket.request.runner_id: ticket for ticket in group if ticket.request.robot.healthy}
        try:
            with self._database.statement() as connection:
                pairs = _assign(connection, wishes)
                rows = _take(connection, pairs, utc_now(), self._lease_s) if pairs else []
        except (psycopg.Error, SQLAlchemyError) as error:
            log.info("a group of claims is made one by one: %s", error)
            return
        for runner, *values in rows:
            wishes[runner].claimed = Claimed(*values)
        if rows:
            self._database.tell("checks", *(f"job:{row[1]}" for row in rows), "queue")


def _assign(connection: psycopg.Connection[Any], wishes: dict[int, Ticket]) -> list[tuple[int, ClaimRequest]]:
    """Which job each runner would find first, if they looked one after the other."""
    with connection.pipeline():
        runners = connection.execute(RUNNERS, {"runners": list(wishes)}, prepare=True)
        heads = connection.execute(HEADS, {"count": len(wishes)}, prepare=True)
        known = {number: (name, labels) for number, name, labels in runners.fetchall()}
        waiting = heads.fetchall()
    pairs = []
    for number, ticket in wishes.items():
        if number not in known:
            continue
        served = claims.served_labels(*known[number], ticket.request.robot)
        first = next((head for head in waiting if claims.serves(served, head[2])), None)
        if first is not None:
            waiting.remove(first)
            pairs.append((first[1], ticket.request))
    return pairs


def _take(
    connection: psycopg.Connection[Any],
    pairs: Sequence[tuple[int, ClaimRequest]],
    now: datetime,
    lease_s: float,
) -> list[Any]:
    wishes = [wish for _, wish in pairs]
    values = {
        "jobs": [job for job, _ in pairs],
        "runners": [wish.runner_id for wish in wishes],
        "keys": [wish.key for wish in wishes],
        "fences": [secrets.token_hex(16) for _ in wishes],
        "software": [wish.software for wish in wishes],
        "robots": [Jsonb(wish.robot.model_dump(mode="json")) for wish in wishes],
        "ahead": [wish.ahead for wish in wishes],
        "now": now,
        "expires": now + timedelta(seconds=lease_s),
    }
    return connection.execute(TAKE, values, prepare=True).fetchall()
