"""One job's stream inside a server process, read from the database once however many watch.

A channel is there while somebody watches. Its thread (a greenlet) looks when the job's topic wakes it, and
once a second by itself, and keeps what is new as encoded messages under the cursor they follow. Readers pull:
each goes from cursor to cursor at its own pace, so a slow one delays nobody and nothing waits for it. What is
no longer kept is read from the database again, by few readers at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from github_app import story
from github_app.db import Database, DatabaseError
from github_app.jobs import Status
from github_app.logs import about
from github_app.models import Job
from github_app.story import Cursor, Piece
from github_app.telemetry import WATCH_S, LatestTelemetry
from github_app.wakeups import Wakeups

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""A channel looks by itself this often [s]: wake-ups may get lost."""
RENDER_S = 3.0
"""A waiting job's words change with the queue: they are made anew this often [s]."""
KEPT_MAX = 256 * 1024
"""Bytes of messages a channel keeps for those who are not up to date."""
CATCHING_UP_MAX = 4
"""Readers of one process that read old messages from the database at the same moment."""

_Key = tuple[int, int, int]


@dataclass(frozen=True)
class Source:
    """What channels are made from.

    Attributes:
        head, results: The page's parts that change, as HTML: of a job that lives, and of one that is over.
        stopping: Whether the server is about to end.
    """

    db: Database
    wakeups: Wakeups
    telemetry: LatestTelemetry
    head: Callable[[Session, Job], str]
    results: Callable[[Session, Job], str]
    stopping: Callable[[], bool]


class Channel:
    """One job's messages. Made and ended by `Channels`."""

    def __init__(self, source: Source, job_id: int) -> None:
        self.job_id = job_id
        self.topic = f"live:{job_id}"
        """Notified in this process after everything that is new here."""
        self.viewers = 0
        self.job: Job | None = None
        """As last read; None before, and once it is deleted."""
        self.head = ""
        self.results = ""
        """Set once the job is over."""
        self.closed = False
        """Nothing more will come: the job is over, or the server ends."""
        self.ready = threading.Event()
        self._source = source
        self._tail = Cursor()
        self._kept: OrderedDict[_Key, Piece] = OrderedDict()
        self._size = 0
        self._watched_at = self._rendered_at = -WATCH_S
        self._state: tuple[object, ...] = ()
        self._rendered: tuple[object, ...] = ()
        self._thread = threading.Thread(target=self._run, name=f"live {job_id}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether the job is over and all of it was read."""
        return bool(self.results)

    def up_to_date(self, cursor: Cursor) -> bool:
        """Whether a reader has everything that was read here."""
        return cursor.covers(self._tail)

    def kept(self, cursor: Cursor) -> Piece | None:
        """What follows a cursor, if it is kept."""
        return self._kept.get(_key(cursor))

    def missing(self, cursor: Cursor) -> tuple[list[Piece], Cursor]:
        """What follows a cursor, from the database (see `story.following`)."""
        with self._source.db.read() as session:
            job = session.get(Job, self.job_id)
            return ([], self._tail) if job is None else story.following(session, job, cursor, self._tail)

    def _run(self) -> None:
        with self._source.wakeups.listen(f"job:{self.job_id}", f"unwatched:{self.job_id}") as ear:
            while self.viewers and not self.closed:
                try:
                    news = self._look()
                except (SQLAlchemyError, DatabaseError) as error:
                    log.warning("cannot be read for its live pages: %s", error, extra=about(self.job_id))
                    news = False
                if news or self._source.stopping():
                    self.closed = self.over or self.job is None or self._source.stopping()
                    self.ready.set()
                    self._source.wakeups.notify_here(self.topic)
                if not self.closed:
                    ear.wait(LOOK_S)

    def _look(self) -> bool:
        """Read what is new; whether there was anything."""
        now = time.monotonic()
        if now - self._watched_at > WATCH_S / 3:
            self._watched_at = now
            self._source.telemetry.watch(self.job_id)
        with self._source.db.read() as session:
            job = session.get(Job, self.job_id)
            self.job = job
            if job is None:
                return True
            first = not self.ready.is_set()
            until = story.tail(session, job, numbered=first) if self._moved(job) else self._tail
            news = self._advance(session, job, until, first=first)
            news = self._render(session, job, now) or news
            if job.status == Status.COMPLETED.value:
                self.results = self._source.results(session, job)
        return news or self.over

    def _moved(self, job: Job) -> bool:
        state = (job.latest_event, job.attempt, job.log_length)
        moved, self._state = state != self._state, state
        return moved

    def _advance(self, session: Session, job: Job, until: Cursor, *, first: bool) -> bool:
        if first:
            self._tail = until
            return True
        news = False
        while not self._tail.covers(until):
            pieces, after = story.following(session, job, self._tail, until)
            for piece in pieces:
                self._keep(self._tail, piece)
                self._tail = piece.after
            if after != self._tail:
                self._keep(self._tail, Piece(b"", after))
                self._tail = after
            news = True
        return news

    def _keep(self, before: Cursor, piece: Piece) -> None:
        self._kept[_key(before)] = piece
        self._size += len(piece.message)
        while self._size > KEPT_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.message)

    def _render(self, session: Session, job: Job, now: float) -> bool:
        state = (job.latest_event, job.phase, job.cancel_reason)
        waits = job.status == Status.QUEUED.value and now - self._rendered_at > RENDER_S
        if state == self._rendered and not waits:
            return False
        self._rendered, self._rendered_at = state, now
        head, self.head = self.head, self._source.head(session, job)
        return head != self.head


def _key(cursor: Cursor) -> _Key:
    return (cursor.event, *cursor.place)


class Channels:
    """The channels of one server process."""

    def __init__(self, source: Source) -> None:
        self.catching_up = threading.BoundedSemaphore(CATCHING_UP_MAX)
        """Held while reading old messages, so that late readers leave the database to the queue."""
        self._source = source
        self._lock = threading.Lock()
        self._channels: dict[int, Channel] = {}

    @contextmanager
    def watching(self, job_id: int) -> Iterator[Channel]:
        """The job's channel, for as long as the block lasts."""
        with self._lock:
            channel = self._channels.get(job_id)
            if channel is None or channel.closed:  # a closed one knows nothing of a later amendment
                channel = self._channels[job_id] = Channel(self._source, job_id)
            channel.viewers += 1
            if channel.viewers == 1:
                channel.start()
        try:
            yield channel
        finally:
            self._leave(channel)

    def _leave(self, channel: Channel) -> None:
        with self._lock:
            channel.viewers -= 1
            if channel.viewers:
                return
            if self._channels.get(channel.job_id) is channel:
                del self._channels[channel.job_id]
        self._source.wakeups.notify_here(f"unwatched:{channel.job_id}")

    def __len__(self) -> int:
        return len(self._channels)
