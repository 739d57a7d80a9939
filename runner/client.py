"""The job contract from the runner's side: HTTP with retries, time limits and errors one can act on.

Every call of the contract may be repeated, so every call is: with growing, jittered pauses until its budget
is spent. What cannot get better by waiting (a refusal, a stale fence, another protocol version) is raised at
once.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar
from urllib.parse import urljoin

import requests
import urllib3
from pydantic import ValidationError

from raas_gym.control import SERVER_ID
from raas_gym.version import __version__
from runner import protocol
from runner.protocol import (
    FENCE_HEADER,
    PREFIX,
    PROTOCOL_HEADER,
    PROTOCOL_VERSION,
    SERVER_HEADER,
    ArtifactsGrant,
    ArtifactsOffer,
    ArtifactUpload,
    Claim,
    ClaimedJob,
    ErrorAnswer,
    Fenced,
    Finish,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    Register,
    Registered,
    Telemetry,
)

CONNECT_S = 10.0
ANSWER_S = 20.0
PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 10.0
_CHUNK = 64 * 1024
_UPLOAD_BLOCK = 256 * 1024
_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

_M = TypeVar("_M", bound=Message)
_T = TypeVar("_T")


class ServerError(Exception):
    """The server could not be asked, or said no."""


class UnreachableError(ServerError):
    """No usable answer came, however often it was asked; later it may."""


class ConflictError(ServerError):
    """409: the fence is stale, or the job does not allow this any more; or it was given to an idle robot."""


class RefusedError(ServerError):
    """The server said no, and would again.

    Attributes:
        status: The HTTP status.
        code: The server's short code.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Claimed(NamedTuple):
    """A job, and the identity of the server whose it is; empty where an older one told none."""

    job: ClaimedJob
    server: str


class _RetryError(Exception):
    """Worth another try; `after_s` is the least pause the server asked for."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class _Blocks:
    """A file that is sent in larger blocks than the 16 KiB which http.client asks for.

    Args:
        file: Read from its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __len__(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def read(self, _: int = -1) -> bytes:
        """The next block."""
        return self._file.read(_UPLOAD_BLOCK)


class Client:
    """One connection pool to one server. For one thread: make one for each.

    Args:
        server: Base URL.
        token: The runner's own token, or empty before registration.
        stopping: Set to give up waiting and retrying at once.
    """

    def __init__(self, server: str, token: str = "", stopping: threading.Event | None = None) -> None:
        self.server = server.rstrip("/")
        self._token = token
        self._stopping = stopping or threading.Event()
        self._clock_ahead_s: float | None = None
        self._http = requests.Session()
        self._http.headers.update(
            {PROTOCOL_HEADER: str(PROTOCOL_VERSION), "User-Agent": f"raas-runner/{__version__}"}
        )
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def twin(self) -> Client:
        """Another one like it, for another thread."""
        return Client(self.server, self._token, self._stopping)

    def register(self, token: str) -> Registered:
        """Exchange the one-time token for the runner's own."""
        return self._ask("register", Register(token=token, software=__version__), Registered, budget_s=15.0)

    def check(self) -> float | None:
        """Is the server there, does it speak our protocol and know us? How far our clock is ahead of its [s].

        Asked with a heartbeat for a claim nobody holds, which changes nothing.

        Raises:
            ServerError: It is not, or does not.
        """
        try:
            self._send("POST", "jobs/1/heartbeat", Heartbeat(fence="doctor"))
        except _RetryError as error:
            raise UnreachableError(str(error)) from error
        except ConflictError:
            pass
        except RefusedError as error:
            if error.status != requests.codes.not_found:
                raise
        return self._clock_ahead_s

    def claim(self, claim: Claim) -> Claimed | None:
        """The next job, or None where none came in time. One try: the caller's loop repeats it."""
        response = self._once("claim", claim, answer_s=claim.wait_s + ANSWER_S)
        if response.status_code == requests.codes.no_content:
            return None
        return Claimed(_read(response, ClaimedJob), _server_id(response))

    def running(self, job: int, fence: str, budget_s: float) -> None:
        """Ask to move the robot."""
        self._tell(f"jobs/{job}/running", Fenced(fence=fence), budget_s)

    def release(self, job: int, fence: str, budget_s: float = 30.0) -> None:
        """Give a claimed job back."""
        self._tell(f"jobs/{job}/release", Fenced(fence=fence), budget_s)

    def heartbeat(self, job: int, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Renew the lease. One try: the next one is due soon anyway."""
        response = self._once(f"jobs/{job}/heartbeat", heartbeat, answer_s=10.0)
        return _read(response, HeartbeatAnswer)

    def telemetry(self, job: int, telemetry: Telemetry) -> None:
        """The latest ticks. One short try: they may be dropped."""
        self._once(f"jobs/{job}/telemetry", telemetry, answer_s=2.0)

    def offer(self, job: int, offer: ArtifactsOffer, budget_s: float = 60.0) -> ArtifactsGrant:
        """Where to put these files."""
        return self._ask(f"jobs/{job}/artifacts", offer, ArtifactsGrant, budget_s)

    def stored(self, job: int, artifact: int, fence: str, budget_s: float = 60.0) -> None:
        """A file is where it belongs."""
        self._tell(f"jobs/{job}/artifacts/{artifact}/stored", Fenced(fence=fence), budget_s)

    def finish(self, job: int, finish: Finish, budget_s: float = 60.0) -> None:
        """The last words."""
        self._tell(f"jobs/{job}/finish", finish, budget_s)

    def put(self, upload: ArtifactUpload, path: Path) -> None:
        """Upload one file, without our token: the URL alone is the permission. One try."""
        try:
            with path.open("rb") as content:
                response = requests.put(
                    urljoin(self.server + "/", upload.url),
                    # an empty file object would be sent chunked, which signed URLs refuse
                    data=_Blocks(content) if path.stat().st_size else b"",
                    headers=upload.headers,
                    timeout=(CONNECT_S, 300.0),
                )
        except requests.RequestException as error:
            raise UnreachableError(f"the artifact store does not answer: {_brief(error)}") from error
        if not response.ok:
            raise UnreachableError(
                f"the artifact store refused {path.name} with status {response.status_code}"
            )

    def source(self, job: int, fence: str, target: Path, bytes_max: int, budget_s: float) -> int:
        """Fetch the job's source as a tarball into `target`; its length in bytes.

        Raises:
            RefusedError: There is no such source, or it is longer than `bytes_max`.
        """

        def fetch() -> int:
            headers = {FENCE_HEADER: fence}
            with self._send(
                "GET", f"jobs/{job}/source", headers=headers, answer_s=60.0, stream=True
            ) as response:
                return _save(response, target, bytes_max)

        return self._retried(fetch, budget_s)

    def _tell(self, path: str, message: Message, budget_s: float) -> None:
        self._retried(lambda: self._send("POST", path, message), budget_s)

    def _ask(self, path: str, message: Message, answer: type[_M], budget_s: float) -> _M:
        return _read(self._retried(lambda: self._send("POST", path, message), budget_s), answer)

    def _once(self, path: str, message: Message, answer_s: float) -> requests.Response:
        try:
            return self._send("POST", path, message, answer_s=answer_s)
        except _RetryError as error:
            raise UnreachableError(str(error)) from error

    def _retried(self, attempt: Callable[[], _T], budget_s: float) -> _T:
        deadline, pause = time.monotonic() + budget_s, PAUSE_FIRST_S
        while True:
            try:
                return attempt()
            except _RetryError as error:  # retrying is what this loop is for
                wait = max(error.after_s, pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret
                if time.monotonic() + wait > deadline or self._stopping.wait(wait):
                    raise UnreachableError(str(error)) from error
                pause = min(2 * pause, PAUSE_MAX_S)

    def _send(
        self,
        method: str,
        path: str,
        message: Message | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        answer_s: float = ANSWER_S,
        stream: bool = False,
    ) -> requests.Response:
        # what was not said is not sent: an older server does not know the newer fields
        body = message.model_dump_json(exclude_unset=True).encode() if message else None
        sent = {"Content-Type": "application/json", **(headers or {})} if body else dict(headers or {})
        try:
            response = self._http.request(
                method,
                f"{self.server}{PREFIX}/{path}",
                data=body,
                headers=sent,
                timeout=(CONNECT_S, answer_s),
                stream=stream,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _RetryError(f"the server {self.server} does not answer: {_brief(error)}") from error
        self._clock_ahead_s = _clock_ahead_s(response)
        if response.status_code // 100 != 2:
            with response:
                raise _failure(response, self.server)
        return response


def _failure(response: requests.Response, server: str) -> Exception:
    status = response.status_code
    try:
        said = ErrorAnswer.model_validate_json(response.content[: protocol.MAX_BODY])
    except (ValidationError, requests.RequestException):
        said = ErrorAnswer(
            error="http", message=f"{server} answered {status} {response.reason or ''}".strip()
        )
    if status in _RETRY_STATUS:
        return _RetryError(said.message, _retry_after(response))
    if status == requests.codes.conflict:
        return ConflictError(said.message)
    if 300 <= status < 400:
        target = response.headers.get("Location", "another place")
        return RefusedError(
            status, "redirect", f"{server} redirects to {target}: register with that URL instead"
        )
    return RefusedError(status, said.error, said.message)


def _server_id(response: requests.Response) -> str:
    told = response.headers.get(SERVER_HEADER, "")
    if not SERVER_ID.fullmatch(told):
        raise UnreachableError(f"{told[:80]!r} is no server's identity: is this a RaaS server?")
    return told


def _clock_ahead_s(response: requests.Response) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None


def _retry_after(response: requests.Response) -> float:
    try:
        return min(float(response.headers.get("Retry-After", 0)), 120.0)
    except ValueError:
        return 0.0


def _read(response: requests.Response, cls: type[_M]) -> _M:
    try:
        return cls.model_validate_json(response.content)
    except (ValidationError, requests.RequestException) as error:
        raise UnreachableError(
            f"the answer is not a {cls.__name__} of protocol {PROTOCOL_VERSION}: is this a RaaS server?"
        ) from error


def _save(response: requests.Response, target: Path, bytes_max: int) -> int:
    length = 0
    try:
        with target.open("wb") as file:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                length += len(chunk)
                _check_length(length, bytes_max)
                file.write(chunk)
    except urllib3.exceptions.HTTPError as error:
        raise _RetryError(f"the source stopped half way: {_brief(error)}") from error
    return length


def _check_length(length: int, bytes_max: int) -> None:
    if length > bytes_max:
        message = f"the source is larger than {bytes_max / 1e6:.0f} MB; keep data out of the repository"
        raise RefusedError(requests.codes.request_entity_too_large, "too_large", message)


def _brief(error: BaseException) -> str:
    """The innermost cause: requests wraps three times."""
    inner: BaseException = error
    while inner.args and isinstance(inner.args[0], BaseException):
        inner = inner.args[0]
    reason = getattr(inner, "reason", inner)
    return str(reason).rsplit(": ", 1)[-1] or type(reason).__name__
