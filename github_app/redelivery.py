"""Webhook deliveries that never arrived are asked for again: GitHub sends each once, whatever becomes of it.

Every few minutes one server process looks through GitHub's list of failed deliveries, as far back as GitHub
keeps them, and has those sent again that are not stored here. The GUID stays the same, so that one which
did arrive, though its answer got lost, changes nothing. Each is asked for a few times, with growing pauses.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select

from github_app import github_site, row_lease
from github_app.db import Database
from github_app.github import GitHubError, RateLimitedError
from github_app.github_site import DeliveryFacts
from github_app.models import Delivery
from github_app.moves import utc_now
from github_app.services import Services

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=3)
KEPT = timedelta(days=3)
"""How long GitHub keeps deliveries."""
SOONEST = timedelta(minutes=1)
"""After the first failure; twice as long after each further one."""
ATTEMPTS_MAX = 10
"""Attempts in all: the last comes after most of a day."""
AT_ONCE_MAX = 100
"""Asked for in one pass."""
FINAL = frozenset({400, 413})
"""Our answers to what would be refused again."""


def redeliver(here: Services, *, now: datetime | None = None) -> int:
    """One pass, if it is due and this process's turn.

    Returns:
        How many deliveries GitHub was asked to send again.
    """
    if here.settings.github_app_id is None or not row_lease.turn(here.db, "redelivery", EVERY):
        return 0
    now = now or utc_now()
    asked = 0
    try:
        failed = list(github_site.failed_deliveries(here.github, now - KEPT))
        for attempt in missing(here.db, due(failed, now)):
            asked += _ask(here, attempt)
    except GitHubError as error:
        log.warning("failed deliveries could not be looked for: %s", error)
    if asked:
        log.warning("asked GitHub to send %d deliveries again", asked)
    return asked


def due(failed: Iterable[DeliveryFacts], now: datetime) -> list[DeliveryFacts]:
    """The newest attempt of each delivery that may be tried again now, the oldest first. Pure."""
    attempts: dict[str, list[DeliveryFacts]] = defaultdict(list)
    for attempt in failed:
        attempts[attempt.guid].append(attempt)
    newest = {guid: max(them, key=lambda one: one.delivered_at) for guid, them in attempts.items()}
    found = [
        latest
        for guid, latest in newest.items()
        if latest.status_code not in FINAL
        and len(attempts[guid]) < ATTEMPTS_MAX
        and now - latest.delivered_at >= SOONEST * 2 ** (len(attempts[guid]) - 1)
    ]
    return sorted(found, key=lambda one: one.delivered_at)[:AT_ONCE_MAX]


def missing(db: Database, attempts: list[DeliveryFacts]) -> list[DeliveryFacts]:
    """Those that are not stored here."""
    with db.read() as session:
        query = select(Delivery.guid).where(Delivery.guid.in_([attempt.guid for attempt in attempts]))
        stored = set(session.scalars(query))
    return [attempt for attempt in attempts if attempt.guid not in stored]


def _ask(here: Services, attempt: DeliveryFacts) -> int:
    try:
        github_site.redeliver(here.github, attempt.id)
    except RateLimitedError:
        raise
    except GitHubError as error:  # this one is too old, perhaps; the others are not
        log.warning("delivery %s (%s) is not sent again: %s", attempt.guid, attempt.event, error)
        return 0
    return 1
