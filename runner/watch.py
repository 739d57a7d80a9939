"""`raas watch`: a job followed from the terminal, as its page follows it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, Protocol

import click
from pydantic import ValidationError

from runner import exit_codes, researcher
from runner.event_stream import Event, Job, JobStream, StreamError
from runner.job_lines import Colours, Log, State, Ticks
from runner.screen import Screen

PATIENCE_S = 300.0
_URL = re.compile(
    r"(?P<server>https?://[^/?#]+(?:/[^?#]*?)??)(?:/api/v1)?/jobs/(?P<number>\d{1,18})(?:[/?#].*)?"
)
_SERVER = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")


class _StoppedError(Exception):
    """A signal ends the command; its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class Viewer(Protocol):
    """Where the events go."""

    def begin(self, job: Job) -> None:
        """The job as it was when we came."""

    def hear(self, event: Event) -> None:
        """One more event. May raise StreamError."""

    def end(self, job: Job) -> None:
        """The job is over."""


@click.command(short_help="Follow a job live: states, log, the robot.")
@click.argument("job", required=False)
@click.option("--server", envvar="RAAS_SERVER", help="The server's address; also RAAS_SERVER.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=PATIENCE_S,
    show_default=True,
    help="How long the server may be away before this gives up [s].",
)
@researcher.common
def watch(job: str | None, server: str | None, patience: float, as_json: bool, **given: Any) -> None:
    """Follow a job live: what happens to it, its log, and the robot in one line.

    --json prints the events, a JSON object a line: `event`, `id`, `data`.

    JOB is a number or the address of a job's page; without it, the newest job of the commit that is checked
    out here. The server is --server, RAAS_SERVER, or the one that the commit's check run names. A lost
    connection is taken up where it broke. Ctrl-C stops watching; the job goes on.

    \b
    Examples:
      raas watch                                the newest job of this commit
      raas watch https://raas.example.org/jobs/12
      raas watch 12 --server https://raas.example.org
      raas watch 12 --json | jq -r 'select(.event == "log") | .data.lines[]'

    \b
    Exit status: the job's conclusion.
      0    success
      1    failure, or it waits for approval
      2    it could not be followed: no such job, no server, a wrong option
      3    neutral: the robot was lost; run it again
      4    cancelled or skipped
      124  the time was up
      130  stopped watching with Ctrl-C (143: SIGTERM)
    """
    address, number = _where(job, server, given)
    screen = Screen(sys.stdout, sys.stderr)
    stream = JobStream(address, number, patience, lambda why: screen.status(f"… {why}; trying again"))
    viewer: Viewer = _Lines() if as_json else _Person(screen, stream)
    try:
        with _stopping():
            sys.exit(_follow(stream, viewer))
    except StreamError as error:
        screen.end()
        _fail(str(error))
    except _StoppedError as stopped:
        screen.end()
        click.echo(f"stopped watching; the job goes on: {address}/jobs/{number}", err=True)
        sys.exit(stopped.status)
    finally:
        screen.end()
        stream.close()


def _follow(stream: JobStream, viewer: Viewer) -> int:
    viewer.begin(stream.first_look())
    for event in stream.events():
        viewer.hear(event)
    job = stream.job()
    viewer.end(job)
    return exit_codes.of_conclusion(job.conclusion)


class _Person:
    """Shows the events to a person."""

    def __init__(self, screen: Screen, stream: JobStream) -> None:
        self._screen, self._stream = screen, stream
        self._colours = Colours(_coloured())
        self._waits = True
        self._moves = False

    def begin(self, job: Job) -> None:
        """Whose job it is."""
        title = f"job {job.id}: {job.repository} at {job.sha[:10]} ({job.ref}), by {job.requested_by}"
        self._own(f"{title}\n{job.url}")
        self._standing(job)

    def hear(self, event: Event) -> None:
        """Log and states pass; telemetry changes the line below."""
        try:
            if event.name == "log":
                self._screen.print(self._colours.log(Log.model_validate_json(event.data)))
            elif event.name == "state":
                state = State.model_validate_json(event.data)
                self._waits = state.kind in ("queued", "released", "lease_lost")
                self._own(self._colours.state(state))
                if not self._moves:  # who comes late hears of the robot first
                    self._screen.status("… waiting" if self._waits else "… waiting for the robot")
            elif event.name == "telemetry":
                self._moves = True
                self._screen.status(Ticks.model_validate_json(event.data).line(self._screen.width))
        except ValidationError as error:
            raise StreamError(f"event {event.name} cannot be understood: is raas up to date?") from error
        if event.name == "head" and self._waits:
            self._standing(self._stream.job())

    def end(self, job: Job) -> None:
        """The verdict."""
        self._screen.end()
        for line in self._colours.verdict(job):
            click.echo(line)

    def _standing(self, job: Job) -> None:
        """Where it stands in the queue; GitHub's page says why it waits."""
        self._waits = job.step == "queued"
        if self._waits and job.position is not None:
            begins = "" if job.begins_in_s is None else f", begins in about {_span(job.begins_in_s)}"
            self._screen.status(f"… waiting: place {job.position} in the queue{begins}")

    def _own(self, text: str) -> None:
        self._screen.print(f"{text}\n", whole=True)


class _Lines:
    """Prints the events for programs: a JSON object a line, `{"event", "id", "data"}`.

    The first is `job`, as `GET /api/v1/jobs/ID` has it; so is the data of the last, `end`. What the server
    draws for pages is left out.
    """

    def begin(self, job: Job) -> None:
        """The job as it is now."""
        self._print("job", "", job.model_dump(mode="json"))

    def hear(self, event: Event) -> None:
        """What a program can use."""
        if event.name not in ("head", "end"):
            self._print(event.name, event.id, event.json())

    def end(self, job: Job) -> None:
        """The job when it was over."""
        self._print("end", "", job.model_dump(mode="json"))

    def _print(self, name: str, id_: str, data: Any) -> None:
        sys.stdout.write(json.dumps({"event": name, "id": id_ or None, "data": data}) + "\n")
        sys.stdout.flush()


def _where(job: str | None, server: str | None, given: dict[str, Any]) -> tuple[str, int]:
    """The server's address and the job's number."""
    if server is not None and not _SERVER.fullmatch(server):
        _fail(f"--server {server} is no address: write https://HOST")
    if job is not None and (found := _URL.fullmatch(job)):
        return found["server"], int(found["number"])
    if job is not None and not re.fullmatch(r"[1-9]\d{0,17}", job, re.ASCII):
        _fail(f"{job} is neither a job's number nor the address of a job's page, like https://HOST/jobs/12")
    if job is not None and server is not None:
        return server.rstrip("/"), int(job)
    return _at_github(job, server, given)


def _at_github(job: str | None, server: str | None, given: dict[str, Any]) -> tuple[str, int]:
    """The job of a check run at the commit that is checked out."""
    checks = researcher.checks_here(given)
    found = [check for check in checks if job is None or check.job == job]
    if not found and job is not None:
        _fail(f"which server has job {job}? Say --server https://HOST, or set RAAS_SERVER")
    if not found:
        _fail("the commit that is checked out here has no job: push it, or name a job's page")
    page = _URL.fullmatch(found[-1].details_url)
    if page is None:
        _fail("the check run names no job's page; say which job at which --server")
    return (server or page["server"]).rstrip("/"), int(page["number"])


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def _stopping() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command, whatever it waits for."""

    def handle(number: int, _frame: FrameType | None) -> None:
        raise _StoppedError(exit_codes.INTERRUPTED if number == signal.SIGINT else exit_codes.TERMINATED)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(exit_codes.UNUSABLE)
