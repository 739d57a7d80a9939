"""What happens, as it happens: server-sent events of one job and of the queue.

`GET /api/v1/jobs/{id}/events` tells of one job:

- `state` (has an id): a `job_events` row, `{"kind", "at", "note"}`.
- `log` (has an id): `{"attempt", "offset", "end", "line", "lines", "open"}`: the bytes `offset` to `end` of
  that attempt's log as lines (see `log_lines`), the first of them number `line`; `open`: the last goes on.
- `head`: the page's verdict and timeline as HTML, whenever they changed.
- `telemetry`: `{"session", "columns", "rows"}`, about ten a second. It may be dropped.
- `end` (has an id): the job is over and everything was sent; `{"conclusion", "results"}`, the page's results
  as HTML. The stream ends; whoever comes back with this id is answered 204, and browsers stop asking.

An id says all of how far a reader is. `Last-Event-ID` (or `?after=`) goes on right there, at any server
process: no event and no byte of log is lost or comes twice. Without it the stream begins with the job.

`GET /api/v1/events` tells of the queue: `queue`, `{"headline", "html"}`, the whole page's content whenever it
changed. Each message replaces the one before, so a reader that was away has missed nothing.

A stream is a greenlet that holds neither a thread nor a database connection while it waits. Its reader pulls:
what it does not fetch is not made. One that does not read for `STUCK_S` is hung up on.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Annotated

from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, Field, ValidationError

from github_app import (
    addresses,
    answers,
    job_page,
    joblog,
    log_lines,
    log_times,
    policy,
    queue_page,
    services,
    story,
)
from github_app.admission import Admission
from github_app.answers import ApiError
from github_app.channels import Channel, Channels, Source
from github_app.jobs import Status
from github_app.models import Job
from github_app.policy import Viewer
from github_app.queue_feed import QueueFeeds
from github_app.services import Services
from github_app.story import Cursor

blueprint = Blueprint("live", __name__, url_prefix="/api/v1")

EXTENSION = "raas-live"
BEAT_S = 15.0
"""A comment is sent this often [s]: proxies close what says nothing for a minute."""
STUCK_S = 30.0
SEND_BUFFER = 64 * 1024
"""Bytes the system may hold for a reader that is slow; it would take megabytes."""
RETRY_MS = 1000
BACK = 64 * 1024
"""Bytes of log in one answer to `…/lines`."""


class EventsQuery(BaseModel):
    """What `…/events` may be asked: go on after the message with this id."""

    after: Annotated[str, Field(max_length=100)] | None = None


class LinesQuery(BaseModel):
    """What `…/lines` may be asked: the lines that end at this offset of this attempt's log."""

    before: Annotated[int, Field(ge=0, le=story.NUMBER_MAX)]
    attempt: Annotated[int, Field(ge=1, le=1_000_000)]


class Lines(BaseModel):
    """A stretch of a log: where it begins [bytes], its lines (`log_lines`) and their times (`log_times`)."""

    start: int
    lines: list[object]
    times: list[list[float]]


class Live:
    """What the streams of one server process share."""

    def __init__(self, here: Services, html: job_page.Html) -> None:
        self.admission = Admission(here.settings.live_max, here.settings.live_max_per_address)
        self.channels = Channels(
            Source(
                db=here.db,
                wakeups=here.wakeups,
                telemetry=here.telemetry,
                head=lambda session, job: html.head(session, job, here.settings),
                results=lambda session, job: html.results(session, job, here.settings),
                stopping=lambda: here.dispatcher.closed,
            )
        )
        self.queue = QueueFeeds(
            here, lambda session, viewer: queue_page.message(html.env, session, here.settings, viewer)
        )


def install() -> Live:
    """The current application's, made when it is first needed."""
    found = current_app.extensions.get(EXTENSION)
    if not isinstance(found, Live):
        found = Live(services.current(), job_page.Html(current_app.jinja_env))
        current_app.extensions[EXTENSION] = found
    return found


@blueprint.get("/jobs/<int:job_id>/events")
def job(job_id: int) -> ResponseReturnValue:
    """One job, live."""
    here, live, viewer = services.current(), install(), policy.viewer()
    cursor, ended = _asked()
    with here.db.read() as session:
        found = _visible(session.get(Job, job_id), job_id, viewer)
        over = found.status == Status.COMPLETED.value
        if ended and over and cursor.event >= found.latest_event:
            return answers.nothing()
    if _ahead(cursor, found):
        cursor = Cursor()  # of another database
    leave = _enter(live)
    return _streaming(_job_stream(here, live, found.id, cursor, viewer), leave)


@blueprint.get("/events")
def queue() -> ResponseReturnValue:
    """The queue, live."""
    here, live, viewer = services.current(), install(), policy.viewer()
    leave = _enter(live)
    return _streaming(_queue_stream(here, live, viewer), leave)


@blueprint.get("/jobs/<int:job_id>/lines")
def lines(job_id: int) -> Response:
    """The lines before those that a page shows."""
    here, viewer = services.current(), policy.viewer()
    try:
        query = LinesQuery.model_validate(request.args.to_dict())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ApiError(
            422, "invalid", f"{first['loc'][0]}: {first['msg']}; see /api/v1/openapi.json"
        ) from None
    start = max(0, query.before - BACK)
    with here.db.read() as session:
        found = _visible(session.get(Job, job_id), job_id, viewer)
        size = query.before - start
        raw, marks = joblog.read_timed(session, found, start=start, size=size, attempt=query.attempt)
    if start > 0 and (cut := raw.find(b"\n") + 1):
        start, raw = start + cut, raw[cut:]
    shown = log_lines.lines(raw)
    times = log_times.as_json(log_times.by_line(raw, start, marks, len(shown)))
    return answers.message(Lines(start=start, lines=[line.as_json() for line in shown], times=times))


def _visible(job: Job | None, job_id: int, viewer: Viewer) -> Job:
    if job is None or not policy.visible(job, viewer):
        raise ApiError(404, "no_such_job", f"there is no job {job_id} that you may see")
    return job


def _asked() -> tuple[Cursor, bool]:
    """Where the reader is, and whether it was told the end."""
    text = request.headers.get("Last-Event-ID") or request.args.get("after")
    if not text:
        return Cursor(), False
    try:
        return story.parse(text)
    except story.BadCursorError:
        raise ApiError(
            422, "invalid", "Last-Event-ID is not an id of this stream; leave it out to begin anew"
        ) from None


def _ahead(cursor: Cursor, job: Job) -> bool:
    """Whether this place does not exist, nor can have existed a moment ago at another process."""
    beyond = cursor.attempt == job.attempt and cursor.offset > job.log_length + len(joblog.CUT_NOTE) + 20
    return cursor.event > job.latest_event or cursor.attempt > job.attempt or beyond


def _enter(live: Live) -> Callable[[], None]:
    if services.current().dispatcher.closed:
        raise ApiError(503, "stopping", "the server is stopping; try again soon", Retry_After="1")
    leave = live.admission.enter(addresses.client(request))
    _tame(request.environ.get("gunicorn.socket"))
    return leave


def _tame(connection: socket.socket | None) -> None:
    """Bound what a reader that does not read may cost: memory in the system, and time."""
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            connection.settimeout(STUCK_S)


def _streaming(messages: Iterator[bytes], leave: Callable[[], None]) -> Response:
    response = Response(messages, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect messages
    response.call_on_close(leave)
    return response


def _job_stream(here: Services, live: Live, job_id: int, cursor: Cursor, viewer: Viewer) -> Iterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    with (
        live.channels.watching(job_id) as channel,
        here.wakeups.listen(channel.topic, f"telemetry:{job_id}") as ear,
    ):
        reader = _Reader(here, live, channel, cursor)
        while channel.job is None or policy.visible(channel.job, viewer):
            if news := b"".join(reader.news()):
                yield news
            elif channel.closed:
                yield reader.last_words()
                return
            elif reader.up_to_date and not ear.wait(BEAT_S):
                yield b": still here\n\n"


class _Reader:
    """How far one reader of a channel is."""

    def __init__(self, here: Services, live: Live, channel: Channel, cursor: Cursor) -> None:
        self._here, self._live, self._channel, self._cursor = here, live, channel, cursor
        self._head = ""
        self._frame = 0

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing to send but what has yet to happen."""
        return not self._channel.ready.is_set() or self._channel.up_to_date(self._cursor)

    def news(self) -> Iterator[bytes]:
        """The next messages, as many as one write may hold."""
        channel = self._channel
        if not channel.ready.is_set():
            return
        if self._head is not channel.head:
            self._head = channel.head
            yield story.encode("head", {"html": self._head})
        for frame in self._here.telemetry.since(channel.job_id, self._frame):
            self._frame = frame.number
            yield story.encode("telemetry", frame.data)
        yield from self._story()

    def _story(self) -> Iterator[bytes]:
        channel = self._channel
        if channel.up_to_date(self._cursor):
            return
        piece = channel.kept(self._cursor)
        if piece is not None:
            self._cursor = piece.after
            yield piece.message
            return
        with self._live.channels.catching_up:
            pieces, self._cursor = channel.missing(self._cursor)
        for piece in pieces:
            yield piece.message

    def last_words(self) -> bytes:
        """Of a job that is over: its results. Otherwise the reader comes back by itself."""
        job = self._channel.job
        if job is None or not self._channel.over:
            return b""
        data = {"conclusion": job.conclusion, "results": self._channel.results}
        return story.encode("end", data, f"{self._cursor}.end")


def _queue_stream(here: Services, live: Live, viewer: Viewer) -> Iterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    shown = ""
    with live.queue.watching(viewer) as feed, here.wakeups.listen(feed.topic) as ear:
        while not feed.closed:
            if feed.content is not None and feed.content is not shown:
                shown = feed.content
                yield story.encode("queue", shown)
            elif not ear.wait(BEAT_S):
                yield b": still here\n\n"
