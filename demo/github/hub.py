"""The running stand-in: its state, its sender of webhooks, and how a unit of work begins and ends."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from demo.github import pushes
from demo.github.db import Database
from demo.github.faults import Faults
from demo.github.git_store import GitStore
from demo.github.hookshot import Hookshot
from demo.github.limits import Limits
from demo.github.models import Account, Delivery, Repository
from demo.github.scope import Scope
from demo.github.settings import Settings

if TYPE_CHECKING:  # needs openapi-core, which only tests have
    from demo.github.conformance import Conformance


class Hub:
    """One stand-in over one data folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database)
        self.store = GitStore(settings.repositories)
        self.faults = Faults()
        self.limits = Limits(settings.hourly_limit, settings.content_limit_per_minute)
        self.conformance: Conformance | None = None
        self._hookshot = Hookshot(self.database, settings.hook_timeout_s, self._sending)
        self._push_locks: dict[int, threading.Lock] = defaultdict(threading.Lock)

    def _sending(self, delivery: Delivery) -> None:
        if self.conformance is not None:
            self.conformance.webhook(delivery.event, delivery.action, delivery.payload)

    def start(self) -> None:
        """Start sending webhooks."""
        self._hookshot.start()

    def stop(self) -> None:
        """Stop sending webhooks and close the database."""
        self._hookshot.stop()
        self.database.close()

    @contextmanager
    def read(self) -> Iterator[Scope]:
        """Begin a unit of work that changes nothing."""
        with self.database.read() as session:
            yield Scope(session, self.settings, self.store)

    @contextmanager
    def write(self) -> Iterator[Scope]:
        """Begin a unit of work that is kept whole or not at all; its webhooks leave after it."""
        with self.database.write() as session:
            yield Scope(session, self.settings, self.store)
        self._hookshot.wake()

    def receive(self, repository_id: int, pusher_id: int, move_refs: Callable[[], None]) -> None:
        """Run something that moves refs, then tell what it changed; one push at a time and repository."""
        with self._push_locks[repository_id]:
            before = self.store.refs(repository_id)
            move_refs()
            after = self.store.refs(repository_id)
            if not (pushed := pushes.moves(before, after)):
                return
            branches = [ref.removeprefix("refs/heads/") for ref in after if ref.startswith("refs/heads/")]
            with self.write() as scope:
                row = scope.session.get_one(Repository, repository_id)
                pusher = scope.session.get_one(Account, pusher_id)
                pushes.record(scope, row, pusher, pushed, branches)
