"""What the server remembers of repositories, kept true while they are renamed, moved and hidden.

Deliveries may arrive late and out of order, so where one disagrees with the record, GitHub is asked how
things are now. One thing is believed at once: that a repository has become private.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app import allowance, payloads, queue
from github_app.config import Settings
from github_app.db import Database
from github_app.github import GitHub
from github_app.jobs import Status
from github_app.models import Job, Repository

UNINSTALLED = 0
"""Installation of a repository the App has lost."""

GONE = "The GitHub App is not installed on this repository any more."
ARCHIVED = "The repository was archived, so that no result can be reported. Unarchive it and run this again."


def current(database: Database, github: GitHub, told: payloads.Repository, installation: int) -> Repository:
    """The repository a delivery speaks of, as it is now; not stored yet, see `remember`.

    Raises:
        GitHubError: The record disagrees with the delivery, and GitHub could not be asked.
    """
    claimed = _record(told, installation)
    with database.read() as session:
        known = session.get(Repository, told.id)
    if known is None or _facts(known) == _facts(claimed):
        return claimed
    if told.private and not known.private:
        with database.write() as session:
            hidden = session.get_one(Repository, told.id)
            hidden.private = True
            session.flush()
            allowance.reconsider(session, hidden)
    facts = github.repository(claimed)
    return Repository(
        id=facts.id,
        installation_id=installation,
        owner=facts.owner.login,
        name=facts.name,
        private=facts.private,
        default_branch=facts.default_branch,
    )


def remember(session: Session, settings: Settings, repository: Repository) -> None:
    """Store a repository as it is now.

    Where it has another owner, or was made private or public, its waiting jobs follow: to robots that take
    them, or to an end where the new owner may not use any.
    """
    known = session.get(Repository, repository.id)
    before = None if known is None else (known.owner, known.private)
    session.merge(repository)
    session.flush()
    if before is None or before == (repository.owner, repository.private):
        return
    allowance.reconsider(session, session.get_one(Repository, repository.id))
    if not allowance.lets_in(session, settings, repository.owner):
        _cancel(session, [repository.id], allowance.not_let_in(repository.owner))


def hide(session: Session, repository: int) -> None:
    """The repository is gone: nobody can read it any more, so nobody is shown its jobs."""
    forget(session, [repository])
    if (known := session.get(Repository, repository)) is not None:
        known.private = True


def archived(session: Session, settings: Settings, repository: Repository) -> None:
    """The repository is read-only from now on: what waits could not be reported."""
    remember(session, settings, repository)
    _cancel(session, [repository.id], ARCHIVED)


def forget(session: Session, ids: Iterable[int], installation: int | None = None) -> int:
    """The App has lost these repositories: their jobs are cancelled and nothing is reported any more.

    Args:
        session: A writing transaction.
        ids: Which.
        installation: The one that lost them. Those that belong to another by now are left alone: of a
            transfer, either end may be heard of first.

    Returns:
        How many of them were known.
    """
    query = select(Repository).where(Repository.id.in_(list(ids)))
    if installation is not None:
        query = query.where(Repository.installation_id == installation)
    lost = session.scalars(query).all()
    for repository in lost:
        repository.installation_id = UNINSTALLED
    _cancel(session, [repository.id for repository in lost], GONE)
    return len(lost)


def forget_installation(session: Session, installation: int) -> int:
    """The App was removed from an account."""
    query = select(Repository.id).where(Repository.installation_id == installation)
    return forget(session, session.scalars(query).all())


def installed(session: Session, installation: int, named: Iterable[payloads.NamedRepository]) -> int:
    """These repositories belong to this installation now. Their default branch comes with the first event."""
    added = list(named)
    for told in added:
        owner, name = told.full_name.split("/")
        known = session.get(Repository, told.id)
        branch = known.default_branch if known else "main"
        session.merge(
            Repository(
                id=told.id,
                installation_id=installation,
                owner=owner,
                name=name,
                private=told.private or (known.private if known else False),
                default_branch=branch,
            )
        )
    return len(added)


def _cancel(session: Session, repositories: list[int], why: str) -> None:
    query = (
        select(Job.id).where(Job.repository_id.in_(repositories)).where(Job.status != Status.COMPLETED.value)
    )
    # From the end: nothing has to move up.
    for job in session.scalars(query.order_by(Job.owner, Job.order_key.desc())).all():
        queue.cancel(session, job, why, by="GitHub")


def _record(told: payloads.Repository, installation: int) -> Repository:
    return Repository(
        id=told.id,
        installation_id=installation,
        owner=told.owner.login,
        name=told.name,
        private=told.private,
        default_branch=told.default_branch,
    )


def _facts(repository: Repository) -> tuple[object, ...]:
    return (
        repository.installation_id,
        repository.owner,
        repository.name,
        repository.private,
        repository.default_branch,
    )
