"""CONTROL CONTRACT: how a runner talks to the controller that owns a robot.

The controller listens on a Unix stream socket that only its own group may open (mode 0660). Runner and
controller exchange JSON objects, one a line, at most `MAX_LINE` bytes. Every request has an `op`; every
answer has `ok`, and where `ok` is false an `error` with a `code` for programs and a `message` for people.
Several requests may follow one another on a connection. Several connections may be open at once.

The life of one session, in the order of the calls:

1. `status`: who is there, is the robot healthy, is a session open. Allowed at any time.
2. `open` (`SessionRequest`): allowed only after the server acknowledged `running` for this job and
   attempt. The controller writes (server, job, attempt, number) into its durable ledger *before* anything
   moves and refuses a second `open` of the same four with `already_opened`, so no mistake of a runner or a
   server can run a job twice. It brings the robot to rest, makes a directory for this session alone with
   the step socket in it, and answers `SessionOpened`. The runner mounts that directory into the container.
   The clock starts with the container's first `reset`, not with `open`. Who asks must stay on the line: a
   connection that hung up before the session was open, however long the controller was held up, gets none.
3. `follow`: turns the connection into a stream of events until the session has ended:
   `{"event": "telemetry", "columns": […], "rows": [[…]], "at": 12.5}` about ten times a second (droppable;
   `at` is when the last row's tick began, by the host's monotonic clock [s], which both sides share), and at
   last `{"event": "ended", "summary": {…}}`. A follower that reads too slowly loses telemetry, never `ended`.
4. `close`: the container has exited, or the runner wants it over (time limit, cancel). The controller
   stops the motor, closes the recording and answers the `SessionSummary`. Closing an ended session
   answers its summary again: the call may be repeated.
5. `result`: the summary of an ended session, for a runner that was restarted in between. A session that
   the controller itself did not survive ends with reason `controller_lost` and what was recorded.
6. `forget`: the runner has the recorded files safe elsewhere; the controller deletes its copies. The
   ledger entry stays.

`server` is the identity of the server whose job it is: job numbers are that server's own. It is empty where
the server is too old to tell, and then a session that any server's job of that number had is one too many.

`stop` stops the motor at once and ends the session (`emergency_stop`), from whoever may open the socket.

The `files` of a summary are paths on this host, readable by the runner's group. Limits and scores are the
controller's alone: nothing in a request can widen them.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from raas_gym.version import __version__

CONTROL_VERSION = 2
"""Raised when an old peer would misunderstand; `status` carries it and `ControlClient` checks it."""

SERVER_ID = re.compile(r"[0-9a-z]{0,64}")
"""The form of a server's identity; it becomes part of file names."""

MAX_LINE = 1 << 20
"""Longest message, bytes. A summary with its scores takes a few kilobytes."""

ERROR_CODES = (
    "bad_request",  # malformed or unknown: the message says which field
    "version",  # the peer speaks another version of this contract
    "busy",  # another session is open
    "already_opened",  # the ledger knows this server, job, attempt and number
    "unknown_session",  # nothing is recorded under this server, job, attempt and number
    "unhealthy",  # the robot is not fit to run: the message says why
    "unsupported",  # this robot does not host the environment that was asked for
    "internal",  # our fault
)

END_REASONS = (
    "client_left",  # the program closed the environment or exited
    "closed",  # the runner closed the session: time limit, cancel, container gone
    "limit",  # the session's own time or reset limit
    "protocol_error",  # a malformed or oversized message from the container
    "safety",  # a limit of the robot ended it
    "emergency_stop",
    "controller_lost",  # the controller died during the session, or could not keep its clock
)

_T = TypeVar("_T")


class ControlError(Exception):
    """The controller refused or could not be reached.

    Attributes:
        code: One of `ERROR_CODES`, or `unreachable` where no answer came.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class SessionRequest:
    """What `open` asks for.

    Attributes:
        job: The server's job id, at least 1.
        attempt: Which try at the job, from 1.
        number: Which session within the job, from 0 (a job may hold several).
        env_id: The Gym id the job is for, e.g. `RaasPendulum-v1`.
        timeout_s: The session ends by itself this long after `open` [s].
        client_uid: The only user id that may connect to the step socket.
        display: Whose code is driving, for the robot's display, e.g. `octocat/spoon`.
        header: Provenance for the trajectory's header: commit, image digest and the like, strings only.
        server: Identity of the server whose job it is (`SERVER_ID`); empty where it tells none.
    """

    job: int
    attempt: int
    number: int
    env_id: str
    timeout_s: float
    client_uid: int
    display: str = ""
    header: dict[str, str] = field(default_factory=dict)
    server: str = ""


@dataclass(frozen=True)
class SessionOpened:
    """The answer to `open`.

    Attributes:
        directory: The session's own directory on this host, to be mounted into the container.
        socket: The step socket's file name within `directory`.
        env_id: The environment hosted.
        dt: The control period [s].
        horizon: Ticks over which the task is scored.
    """

    directory: str
    socket: str
    env_id: str
    dt: float
    horizon: int


@dataclass(frozen=True)
class SessionSummary:
    """What a session came to, from the controller's own recording.

    Attributes:
        job, attempt, number, server: As in the request.
        reason: One of `END_REASONS`.
        message: The same as a sentence for people.
        steps: How often the program called `step`.
        ticks: Control periods recorded; ticks without a step count too.
        episodes: How many episodes were begun.
        late: Steps whose action arrived after its tick.
        duration_s: From the first reset to the end [s].
        scores: By name, over the fixed horizon; empty where nothing was recorded. See `raas_gym.scores`.
        files: Recorded files by artifact name, as absolute paths on this host.
        robot: The robot's name.
        passport: Version of the calibration in force, or `simulated`.
        interventions: What the safety layer did, a sentence each.
    """

    job: int
    attempt: int
    number: int
    reason: str
    message: str
    steps: int
    ticks: int
    episodes: int
    late: int
    duration_s: float
    scores: dict[str, float | None]
    files: dict[str, str]
    robot: str
    passport: str
    interventions: list[str] = field(default_factory=list)
    server: str = ""


@dataclass(frozen=True)
class ControllerStatus:
    """The answer to `status`.

    Attributes:
        control_version: `CONTROL_VERSION` of the controller.
        software: Version of the controller's software.
        robot: The robot's name.
        kind: Which kind of robot, e.g. `pendulum`; the first of its labels.
        plant: `simulated` or `hardware`.
        env_ids: The environments it hosts.
        state: `idle`, `resetting`, `session` or `unhealthy`.
        message: Why, where `unhealthy`; otherwise a sentence about what it is doing.
        passport: Version of the calibration in force, or `simulated`.
        session: `{"job", "attempt", "number"}` of the open session, or None.
        warnings: What a host should mend, a sentence each.
    """

    control_version: int
    software: str
    robot: str
    kind: str
    plant: str
    env_ids: list[str]
    state: str
    message: str
    passport: str
    session: dict[str, int] | None = None
    warnings: list[str] = field(default_factory=list)


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line of JSON; NaN and infinities are refused (`ValueError`)."""
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message in `line`.

    Raises:
        ControlError: `bad_request` where it is too long, not JSON, or not an object.
    """
    if len(line) > MAX_LINE:
        raise ControlError("bad_request", f"the message is longer than {MAX_LINE} bytes")
    try:
        message = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ControlError("bad_request", f"the message is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ControlError("bad_request", "the message is not a JSON object")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def parse(cls: type[_T], data: Any) -> _T:
    """A message's part as one of the dataclasses above, its types checked.

    Raises:
        ControlError: `bad_request`, naming the field that is missing, unknown or of the wrong type.
    """
    if not isinstance(data, dict):
        raise ControlError("bad_request", f"{cls.__name__} must be a JSON object")
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]  # every caller passes a dataclass
    if unknown := sorted(set(data) - set(known)):
        raise ControlError("bad_request", f"{cls.__name__} has no field {unknown[0]!r}")
    for name, value in data.items():
        if not _CHECKS[str(known[name].type)](value):
            raise ControlError("bad_request", f"{cls.__name__}.{name} must be {known[name].type}")
    try:
        return cls(**data)
    except TypeError as error:
        raise ControlError("bad_request", f"{cls.__name__}: {error}") from error


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


def _is_dict_of(check: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, dict) and all(check(v) for v in value.values())


# One check for each type that a field above is annotated with (as text: see the future import).
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "float": _is_float,
    "str": _is_str,
    "list[str]": lambda v: isinstance(v, list) and all(map(_is_str, v)),
    "dict[str, str]": lambda v: _is_dict_of(_is_str, v),
    "dict[str, float | None]": lambda v: _is_dict_of(lambda x: x is None or _is_float(x), v),
    "dict[str, int] | None": lambda v: v is None or _is_dict_of(_is_int, v),
}


class ControlClient:
    """The runner's side. Each call opens its own connection, so a controller's restart needs no care.

    Args:
        path: The control socket.
        timeout_s: How long to wait for an answer [s]; `open` may take as long as the robot's reset.
    """

    def __init__(self, path: str, timeout_s: float = 30.0) -> None:
        self.path = path
        self.timeout_s = timeout_s

    def status(self) -> ControllerStatus:
        """What the controller says of itself.

        Raises:
            ControlError: `version` where it speaks another version of this contract.
        """
        answer = self._call({"op": "status"})["status"]
        version = answer.get("control_version") if isinstance(answer, dict) else None
        if version != CONTROL_VERSION:
            raise ControlError(
                "version",
                f"the controller speaks version {version} of the control contract, this program "
                f"(raas {__version__}) version {CONTROL_VERSION}: install the same release on both sides "
                "and restart both",
            )
        return parse(ControllerStatus, answer)

    def open(self, request: SessionRequest) -> SessionOpened:
        """Open the one session of this job, attempt and number."""
        return parse(SessionOpened, self._call({"op": "open", "request": asdict(request)})["session"])

    def close(self, job: int, attempt: int, number: int, why: str, server: str = "") -> SessionSummary:
        """End the session if it is still open; its summary either way."""
        request = _named("close", job, attempt, number, server, why=why)
        return parse(SessionSummary, self._call(request)["summary"])

    def result(self, job: int, attempt: int, number: int, server: str = "") -> SessionSummary:
        """The summary of a session that has ended."""
        return parse(SessionSummary, self._call(_named("result", job, attempt, number, server))["summary"])

    def forget(self, job: int, attempt: int, number: int, server: str = "") -> None:
        """Let the controller delete the session's recorded files."""
        self._call(_named("forget", job, attempt, number, server))

    def stop(self, why: str) -> None:
        """Stop the motor now."""
        self._call({"op": "stop", "why": why})

    def follow(self, job: int, attempt: int, number: int, server: str = "") -> Iterator[dict[str, Any]]:
        """The session's events, ending after `ended`. Telemetry may have gaps."""
        with self._connect() as connection, connection.makefile("rb") as lines:
            _send(connection, _named("follow", job, attempt, number, server))
            _checked(_read(lines))
            connection.settimeout(None)
            while (event := _read(lines)).get("event") != "ended":
                yield event
            yield event

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout_s)
        try:
            connection.connect(self.path)
        except OSError as error:
            connection.close()
            raise ControlError(
                "unreachable",
                f"no controller answers at {self.path} ({error.strerror or error}): "
                "start it with `raas-controller serve`",
            ) from error
        return connection

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._connect() as connection, connection.makefile("rb") as lines:
            _send(connection, request)
            return _checked(_read(lines))


def _named(op: str, job: int, attempt: int, number: int, server: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "job": job, "attempt": attempt, "number": number, "server": server, **more}


def _send(connection: socket.socket, request: dict[str, Any]) -> None:
    try:
        connection.sendall(encode(request))
    except OSError as error:
        raise ControlError("unreachable", f"the controller hung up: {error}") from error


def _read(lines: Any) -> dict[str, Any]:
    try:
        line = lines.readline(MAX_LINE + 1)
    except OSError as error:
        raise ControlError("unreachable", f"the controller did not answer: {error}") from error
    if not line.endswith(b"\n"):
        raise ControlError("unreachable", "the controller closed the connection in the middle of an answer")
    return decode(line)


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("ok") is True:
        return answer
    error = answer.get("error")
    if not isinstance(error, dict):
        raise ControlError("bad_request", "the controller's answer has neither `ok` nor `error`")
    raise ControlError(str(error.get("code")), str(error.get("message")))
