"""A job's server-sent events as a client reads them: through lost connections, each event once.

What the events say stands in the server's `/api/v1/openapi.json`. An event with an id moves the reader's
place; after a lost connection `Last-Event-ID` has the server go on right there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict, ValidationError

from raas_gym.version import __version__

CONNECT_S = 10.0
SILENCE_S = 45.0
"""A connection that says nothing for so long is dead [s]; the server says something every 15 s."""
PAUSE_S, PAUSE_MAX_S = 1.0, 15.0
EVENT_MAX = 4 * 1024 * 1024
"""Longest event, bytes: a server's are 64 KB, and its results as HTML."""
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class StreamError(Exception):
    """The job cannot be followed; one sentence and what to do next."""


class NoSuchJobError(StreamError):
    """It is not there, or not for everybody."""


class _AwayError(Exception):
    """The server does not answer just now; why, and how long it wants to be left alone [s]."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


@dataclass(frozen=True)
class Event:
    """One event; `id` is empty where it does not move the reader's place."""

    name: str
    data: str
    id: str = ""

    def json(self) -> Any:
        """What it says.

        Raises:
            StreamError: It is no JSON.
        """
        try:
            return json.loads(self.data)
        except ValueError as error:
            raise _not_understood(f"event {self.name}") from error


class Job(BaseModel):
    """What `GET /api/v1/jobs/ID` says, as far as a terminal shows it. Times in s."""

    model_config = ConfigDict(extra="allow")

    id: int
    repository: str
    sha: str
    ref: str
    requested_by: str
    step: str
    conclusion: str | None
    reason: str | None
    position: int | None
    begins_in_s: float | None
    robot: str | None
    sessions: list[dict[str, Any]]
    url: str


def parse(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Events of a stream that comes in pieces cut anywhere (HTML Standard, 9.2.6).

    An event that the end cuts off is none. Of an id that stands alone nothing is said.

    Raises:
        StreamError: An event is longer than `EVENT_MAX`.
    """
    name, id_, data = "", "", list[str]()
    for line in _lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data), id_)
            name, id_, data = "", "", []
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            id_ = value
        elif field == "data":
            data.append(value)
            if sum(map(len, data)) > EVENT_MAX:
                raise StreamError("the server sends an event of over 4 MB: is it a RaaS server?")


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, however they end; what follows the last line end is dropped."""
    rest: list[bytes] = []
    size = 0
    cut = b""
    for piece in chunks:
        chunk = cut + piece
        cut = chunk[-1:] if chunk.endswith(b"\r") else b""  # a line feed may follow
        chunk = chunk[: len(chunk) - len(cut)]
        *whole, last = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield b"".join([*rest, line]).decode(errors="replace")
            rest, size = [], 0
        rest.append(last)
        size += len(last)
        if size > EVENT_MAX:
            raise StreamError("the server sends a line of over 4 MB: is it a RaaS server?")


class JobStream:
    """One job at one server.

    Args:
        server: The server's address, `https://host`.
        number: The job's.
        patience_s: How long the server may be away before we give up [s].
        lost: Told why the connection was lost, once each time.
    """

    def __init__(self, server: str, number: int, patience_s: float, lost: Callable[[str], None]) -> None:
        self._server, self._number = server.rstrip("/"), number
        self._patience_s, self._lost = patience_s, lost
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"raas/{__version__}"
        self._last_id = ""
        self._over = False

    def job(self) -> Job:
        """The job as it is now.

        Raises:
            StreamError: There is none for us, or the server stays away.
        """
        for attempt in self._attempts():
            with attempt:
                return self._job()
        raise AssertionError("attempts end by raising")

    def first_look(self) -> Job:
        """The same, without patience: a wrong address is told at once."""
        try:
            return self._job()
        except _AwayError as error:
            raise StreamError(
                f"{self._server} cannot be reached ({error}): check the address and the network"
            ) from error

    def events(self) -> Iterator[Event]:
        """All events from the job's beginning to its end, each once, but telemetry, which may be missing.

        Raises:
            StreamError: The server stays away, or says what we do not understand.
        """
        for attempt in self._attempts():
            with attempt:
                for event in self._connection():
                    attempt.worked()
                    yield event
                    self._last_id = event.id or self._last_id
                    if event.name == "end":
                        return
                if self._over:
                    return
                raise _AwayError("the connection ended")

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    def _attempts(self) -> Iterator[_Attempt]:
        state = _Attempt(self._server, self._patience_s, self._lost)
        while True:
            yield state
            state.pause()

    def _job(self) -> Job:
        with self._get("", stream=False) as answer:
            try:
                return Job.model_validate_json(answer.content)
            except ValidationError as error:
                raise _not_understood("the job") from error

    def _connection(self) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        with self._get("/events", stream=True, **headers) as answer:
            self._over = answer.status_code == 204
            if self._over:
                return
            if "text/event-stream" not in answer.headers.get("Content-Type", ""):
                raise _not_understood("the answer")
            # Without chunks only single bytes come as soon as they are there.
            chunked = "chunked" in answer.headers.get("Transfer-Encoding", "")
            try:
                yield from parse(answer.iter_content(None if chunked else 1))
            except requests.RequestException as error:
                raise _AwayError("the connection was lost") from error

    def _get(self, path: str, *, stream: bool, **headers: str) -> requests.Response:
        url = f"{self._server}/api/v1/jobs/{self._number}{path}"
        try:
            answer = self._session.get(url, headers=headers, timeout=(CONNECT_S, SILENCE_S), stream=stream)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _AwayError(_why(error)) from error
        except requests.RequestException as error:
            raise StreamError(f"{self._server} is no address of a server: {error}") from error
        if answer.ok:
            return answer
        answer.close()
        if answer.status_code in _BUSY:
            pause = answer.headers.get("Retry-After", "")
            raise _AwayError(f"it answers {answer.status_code}", float(pause) if pause.isdecimal() else 0.0)
        if answer.status_code == 404:
            raise NoSuchJobError(
                f"{self._server} shows nobody a job {self._number}: check the number; of a private repository"
                f" it is seen by those who sign in there, at {self._server}/jobs/{self._number}"
            )
        raise StreamError(
            f"{self._server} refuses ({answer.status_code}): is it the address of a RaaS server?"
        )


class _Attempt:
    """Trying again, longer and longer apart, until the server was away for too long."""

    def __init__(self, server: str, patience_s: float, lost: Callable[[str], None]) -> None:
        self._server, self._patience_s, self._lost = server, patience_s, lost
        self._away_since: float | None = None
        self._pause_s = PAUSE_S
        self._wanted_s = 0.0

    def worked(self) -> None:
        """The server answers."""
        self._away_since, self._pause_s, self._wanted_s = None, PAUSE_S, 0.0

    def pause(self) -> None:
        """Until the next attempt."""
        time.sleep(max(self._pause_s, min(self._wanted_s, PAUSE_MAX_S)))
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)

    def __enter__(self) -> _Attempt:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        """Swallow what is worth another attempt."""
        if not isinstance(error, _AwayError):
            return False
        self._wanted_s = error.pause_s
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._lost(str(error))
        if now - self._away_since > self._patience_s:
            raise StreamError(
                f"{self._server} did not answer for {self._patience_s:g} s ({error}); the job goes on without"
                " us: try again later"
            ) from error
        return True


def _why(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    return "no answer in time" if isinstance(error, requests.Timeout) else "nobody answers"


def _not_understood(what: str) -> StreamError:
    return StreamError(
        f"{what} cannot be understood: is it the address of a RaaS server, and raas up to date?"
    )
