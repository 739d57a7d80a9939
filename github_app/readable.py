"""Which private repositories a signed-in person can read, as GitHub says, remembered for a short while.

Asked by the App's own token and the collaborator API, as for comments. The person's id must fit as well: a
login that was given up may belong to somebody else now. Whatever cannot be asked is not readable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from github_app import records
from github_app.github import GitHub, GitHubError
from github_app.models import Job, Repository, WebSession
from github_app.services import Services

log = logging.getLogger(__name__)

REMEMBERED_S = 120.0
"""So long somebody who was removed from a repository may still see its jobs [s]."""
ASKED_MAX = 20
"""Repositories looked up for one page; the rest appears when one looks again."""
AT_ONCE = 8
KNOWN_MAX = 20_000
_PRIVATE = (Repository.private.is_(True), Repository.installation_id != records.UNINSTALLED)


class Readers:
    """What GitHub said lately. One for the process; safe for threads and greenlets."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._lock = threading.Lock()
        self._known: dict[tuple[int, int], tuple[bool, float]] = {}

    def among(self, who: WebSession, repositories: Sequence[Repository]) -> frozenset[int]:
        """Ids of those of these private repositories that this person can read."""
        unknown = [it for it in repositories if self._remembered(who, it) is None][:ASKED_MAX]
        if len(unknown) == 1:
            self._ask(who, unknown[0])
        elif unknown:
            with ThreadPoolExecutor(min(AT_ONCE, len(unknown))) as pool:
                list(pool.map(lambda it: self._ask(who, it), unknown))
        return frozenset(it.id for it in repositories if self._remembered(who, it))

    def _remembered(self, who: WebSession, repository: Repository) -> bool | None:
        found = self._known.get((who.person_id, repository.id))
        return found[0] if found is not None and time.monotonic() < found[1] else None

    def _ask(self, who: WebSession, repository: Repository) -> None:
        try:
            may = self._github.permission(repository, who.login, who.person_id) != "none"
        except GitHubError as error:
            log.warning("whether %s may read %s: %s", who.login, repository.full_name, error)
            return
        with self._lock:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[who.person_id, repository.id] = (may, time.monotonic() + REMEMBERED_S)


def of_job(here: Services, readers: Readers, who: WebSession, job_id: int) -> frozenset[int]:
    """The job's repository, where it is private and this person can read it."""
    query = select(Repository).join(Job, Job.repository_id == Repository.id).where(Job.id == job_id)
    with here.db.read() as session:
        found = session.scalars(query.where(*_PRIVATE)).all()
    return readers.among(who, found)


def of_lists(here: Services, readers: Readers, who: WebSession) -> frozenset[int]:
    """For lists: those of the repositories that were readable at sign-in which still are."""
    if not who.private_repositories:
        return frozenset()
    query = select(Repository).where(Repository.id.in_(who.private_repositories))
    with here.db.read() as session:
        found = session.scalars(query.where(*_PRIVATE)).all()
    return readers.among(who, found)
