"""The queue's page as it changes: rendered once in a server process for all who may see the same.

A feed is there while somebody watches. It looks after a wake-up and once a second, and renders only when a
job has moved since or `STALE_S` have passed (robots go offline without an event).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from github_app.db import DatabaseError
from github_app.models import JobEvent
from github_app.policy import Viewer
from github_app.services import Services

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks [s], however much happens."""
STALE_S = 5.0

Render = Callable[[Session, Viewer], str]


class QueueFeed:
    """What one kind of viewer sees."""

    def __init__(self, here: Services, render: Render, viewer: Viewer, number: int) -> None:
        self.topic = f"live-queue:{number}"
        """Notified in this process when `content` has changed."""
        self.viewers = 0
        self.content: str | None = None
        self.closed = False
        """The server ends."""
        self._here, self._render, self._viewer = here, render, viewer
        self._event = -1
        self._rendered_at = 0.0
        self._thread = threading.Thread(target=self._run, name=self.topic, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def _run(self) -> None:
        wakeups = self._here.wakeups
        with wakeups.listen("queue", "checks", f"unwatched:{self.topic}") as ear:
            while self.viewers and not self.closed:
                began = time.monotonic()
                try:
                    news = self._look(began)
                except (SQLAlchemyError, DatabaseError) as error:
                    log.warning("the queue cannot be read for its live page: %s", error)
                    news = False
                self.closed = self._here.dispatcher.closed
                if news or self.closed:
                    wakeups.notify_here(self.topic)
                ear.wait(LOOK_S)
                if self.viewers:
                    # Many moves at once are one look.
                    time.sleep(max(0.0, began + LOOK_S - time.monotonic()))

    def _look(self, now: float) -> bool:
        with self._here.db.read() as session:
            newest = session.scalar(select(func.max(JobEvent.id))) or 0
            if newest == self._event and now - self._rendered_at < STALE_S:
                return False
            self._event, self._rendered_at = newest, now
            content = self._render(session, self._viewer)
        if content == self.content:
            return False
        self.content = content
        return True


class QueueFeeds:
    """The feeds of one server process, by what their viewers may see.

    Args:
        here: The process's services.
        render: The message for such a viewer.
    """

    def __init__(self, here: Services, render: Render) -> None:
        self._here, self._render = here, render
        self._lock = threading.Lock()
        self._feeds: dict[frozenset[int], QueueFeed] = {}
        self._made = 0

    @contextmanager
    def watching(self, viewer: Viewer) -> Iterator[QueueFeed]:
        """The feed for this viewer, for as long as the block lasts."""
        key = viewer.readable
        with self._lock:
            feed = self._feeds.get(key)
            if feed is None:
                self._made += 1
                feed = self._feeds[key] = QueueFeed(self._here, self._render, viewer, self._made)
            feed.viewers += 1
            if feed.viewers == 1:
                feed.start()
        try:
            yield feed
        finally:
            with self._lock:
                feed.viewers -= 1
                if not feed.viewers:
                    del self._feeds[key]
            self._here.wakeups.notify_here(f"unwatched:{feed.topic}")
