"""Stored deliveries become zero or more jobs.

A delivery is taken under a lease (`row_lease`), everything GitHub has to be asked is asked
outside of any transaction, and then one transaction stores the jobs and marks the delivery processed. So a
crash at any point only means that it is done again; a job's `trigger_key` makes that harmless, and keeps it
to one automatic job per repository and commit however many events announce the commit.

GitHub being away delays a delivery, with growing pauses. A delivery that no retry would help is marked
processed with its error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from flask import Flask
from pydantic import BaseModel
from sqlalchemy import update
from sqlalchemy.orm import Session

from github_app import changes, comments, payloads, presses, records, services
from github_app.config import Settings
from github_app.github import GitHubError, GitHubUnavailableError, NotFoundError, RateLimitedError
from github_app.models import Delivery
from github_app.plans import Plan
from github_app.row_lease import RowLease, pause
from github_app.services import Services

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
"""Longer than the questions of one delivery take, unless GitHub is very slow; then it is done twice."""
BATCH = 16
AT_ONCE = 8
PAUSE_MAX = timedelta(minutes=5)
AGE_MAX = timedelta(days=3)
"""GitHub keeps a delivery three days; nobody waits for a robot longer."""

NOT_FOUND_TRIES = 5
"""GitHub announces a commit a moment before all of its servers have it."""


def left_alone(settings: Settings, said: BaseModel | None) -> str | None:
    """Why a delivery starts nothing, where it alone tells: most do not, and are settled as they arrive.

    Args:
        settings: For the list of owners, and the App's number.
        said: The payload; None for an event nobody acts upon.
    """
    reason: str | None = None
    match said:
        case None:
            reason = "not acted upon"
        case payloads.Push():
            reason = changes.push_left_alone(settings, said)
        case payloads.PullRequestEvent():
            reason = changes.pull_left_alone(settings, said)
        case payloads.CheckRunEvent():
            reason = presses.run_left_alone(settings, said)
        case payloads.CheckSuiteEvent():
            reason = presses.suite_left_alone(settings, said)
        case payloads.IssueComment():
            why = comments.left_alone(said)
            reason = f"left alone: {why}" if why else None
    return reason


LEASES = RowLease(
    table=Delivery,
    waiting=Delivery.processed_at.is_(None),
    due=Delivery.next_try_at,
    tries=Delivery.tries,
    lasts=LEASE,
    batch=BATCH,
)


def process_pending(app: Flask) -> int:
    """Process the deliveries that are due now.

    Returns:
        How many were taken.
    """
    here = services.of(app)
    taken = LEASES.take(here.db)
    if taken:
        with ThreadPoolExecutor(min(AT_ONCE, len(taken))) as pool:
            list(pool.map(partial(_process, here), taken))
    return len(taken)


def _process(here: Services, delivery: Delivery) -> None:
    try:
        plan = _HANDLERS[delivery.event](here, delivery)
        _settle(here, delivery, plan)
    except GitHubUnavailableError as error:
        _later(here, delivery, error)
    except GitHubError as error:
        if isinstance(error, NotFoundError) and delivery.tries < NOT_FOUND_TRIES:
            _later(here, delivery, error)
        else:
            _settle(here, delivery, Plan("given up"), error=str(error))
    except Exception as error:
        log.exception("delivery %s (%s) failed", delivery.guid, delivery.event)
        _later(here, delivery, error)


def _settle(here: Services, delivery: Delivery, plan: Plan, error: str | None = None) -> None:
    """Mark it processed and store what it came to, together; unless somebody else was faster."""
    done = (
        update(Delivery)
        .where(Delivery.id == delivery.id, Delivery.processed_at.is_(None))
        .values(processed_at=datetime.now(UTC), outcome=plan.outcome, error=error)
        .returning(Delivery.id)
    )
    with here.db.write() as session:
        if session.scalar(done) is None:
            return
        outcome = plan.store(session)
        if isinstance(outcome, str):
            session.get_one(Delivery, delivery.id).outcome = outcome
    log.info("delivery %s (%s): %s %s", delivery.guid, delivery.event, plan.outcome, error or outcome or "")
    plan.afterwards()


def _later(here: Services, delivery: Delivery, error: Exception) -> None:
    now = datetime.now(UTC)
    if now - delivery.received_at > AGE_MAX:
        _settle(here, delivery, Plan("given up"), error=f"still failing after days: {error}")
        return
    next_try = now + pause(delivery.tries, PAUSE_MAX)
    if isinstance(error, RateLimitedError):
        next_try = max(next_try, error.until)
    log.warning("delivery %s (%s) is put off: %s", delivery.guid, delivery.event, error)
    LEASES.put_off(here.db, delivery.id, next_try, error=f"{error}"[:2000])


def _comment(here: Services, delivery: Delivery) -> Plan:
    said = payloads.IssueComment.model_validate_json(delivery.payload)
    repository = records.current(here.db, here.github, said.repository, said.installation.id)
    asked = comments.Asked(here, repository, said)
    answer = comments.answer(asked)
    if answer.reply is not None:
        comments.reply_once(asked, answer, first_try=delivery.tries == 1)
    return Plan(
        answer.outcome,
        partial(comments.store, asked, answer),
        partial(comments.react, asked, answer.reaction),
    )


def _installation(here: Services, delivery: Delivery) -> Plan:
    event = payloads.InstallationEvent.model_validate_json(delivery.payload)
    where = event.installation.id
    if event.action in ("deleted", "suspend"):
        return Plan(f"installation {event.action}", partial(records.forget_installation, installation=where))
    if event.action in ("created", "unsuspend"):
        named = event.repositories
        return Plan(
            f"installation {event.action}", partial(records.installed, installation=where, named=named)
        )
    return Plan(f"left alone: {event.action}")


def _installation_repositories(here: Services, delivery: Delivery) -> Plan:
    event = payloads.InstallationRepositories.model_validate_json(delivery.payload)

    def store(session: Session) -> None:
        where = event.installation.id
        records.installed(session, where, event.repositories_added)
        records.forget(session, [repository.id for repository in event.repositories_removed], where)

    return Plan("repositories of the installation changed", store)


def _repository(here: Services, delivery: Delivery) -> Plan:
    event = payloads.RepositoryEvent.model_validate_json(delivery.payload)
    number, what = event.repository.id, f"repository {event.action}"
    if event.action == "deleted":
        return Plan(what, partial(records.hide, repository=number))
    try:
        repository = records.current(here.db, here.github, event.repository, event.installation.id)
    except NotFoundError:
        if event.action != "transferred" or delivery.tries < NOT_FOUND_TRIES:
            raise
        # To somebody who has not installed the App.
        return Plan(f"{what}, out of reach", partial(records.forget, ids=[number]))
    store = records.archived if event.action == "archived" else records.remember
    return Plan(what, partial(store, settings=here.settings, repository=repository))


_HANDLERS: dict[str, Callable[[Services, Delivery], Plan]] = {
    "push": changes.push,
    "pull_request": changes.pull_request,
    "issue_comment": _comment,
    "check_run": presses.check_run,
    "check_suite": presses.check_suite,
    "installation": _installation,
    "installation_repositories": _installation_repositories,
    "repository": _repository,
}
ACTED_UPON = frozenset(_HANDLERS)
"""The events that may start something; each has a model in `payloads.MODELS`."""
