"""JOB CONTRACT: what runner and server say to each other.

JSON over HTTPS. The runner only makes outgoing requests (it lives behind NAT) and holds no GitHub and no
cloud credential. Everything is under `/api/v1/runner`; the same models make the OpenAPI document. Each
request carries `RAAS-Protocol: 1` (`PROTOCOL_HEADER`); a server that speaks another version answers 426
with an `ErrorAnswer` that names both. All bodies are bounded: `MAX_BODY` unless said otherwise.

The life of a runner and a job, in the order of the calls:

`POST register` (`Register` -> `Registered`), once, with a one-time token that `raas-server runner add`
printed. The answer holds the runner's own token, sent from then on as `Authorization: Bearer`. A used or
unknown token gets 401; a name cannot change.

`POST claim` (`Claim` -> 200 `ClaimedJob`, or 204 when nothing came within `wait_s`). A long poll. The
runner reports its robot's state with it: a robot that is not `healthy` is given no job, and a poll is what
makes the runner count as online. `key` makes the claim idempotent: a runner makes one up for each job it
wants and repeats it until an answer arrives, and the server answers the same key with the same job, so a
lost answer strands nothing. The answer bears the header `RAAS-Server` (`SERVER_HEADER`): the server's
identity, made up once for each database and kept in it. Job numbers are that server's own, so the runner
names it beside them to the robot's controller. (A header, since an older runner refuses an answer with a
field it does not know; an older server sends none.)

A runner whose session nears its end may claim the next job `ahead`, prepare it and heartbeat for it
meanwhile; it asks so with `wait_s` 0 and leaves the field out otherwise. A job claimed ahead is given to
another runner that asks for a job to run now and would get none: 409 `released` then tells the holder to
drop it.

From here every call names the job and carries its `fence`. A stale fence
(the lease was lost, or the job concluded) gets 409. Before `running` was acknowledged it obliges the runner
to drop the job: somebody else may have it. After that the run goes on to its end, for the robot has moved
and nobody else may run it, and its results are kept; `artifacts` and `finish` may be tried (see `finish`).

`GET jobs/{id}/source` -> a gzipped tarball of exactly `sha`, at most `source_bytes_max`. `Fence` travels
as the header `RAAS-Fence`. 422 with an `ErrorAnswer` where GitHub has no such commit, or it is too large:
the runner finishes the job with the message as its reason.

`POST jobs/{id}/running` (`Fenced` -> 204): the runner asks to move the robot. Only after the 204 may it
open a session at the controller. Before, a lost lease puts the job back into the queue; after, the job is
`lost` when the runner is, and is never re-run by itself. Repeating the call is allowed.

`POST jobs/{id}/heartbeat` (`Heartbeat` -> `HeartbeatAnswer`), every `heartbeat_s` from the claim on until
finish, from a thread the job cannot starve. It renews the lease by `lease_s`. New log bytes ride on it: a
chunk starts at `offset`, counted in bytes of this attempt's whole log. The server appends what it does
not have and answers with the length it now holds, `log_length`; the runner continues from there. A chunk from
beyond the end is not stored, an overlap is stored once: nothing is lost, nothing is there twice. A chunk may
say when within a session its parts were written (`times`, by the controller's clock): best effort, for the
replay. An older server refuses a heartbeat that has them (422): the runner leaves them out from then on, and
it sends them with `finish` only after a heartbeat with them was acknowledged. `cancel` in the answer is a
reason to stop: the runner ends the container and finishes with `cancelled`.

`POST jobs/{id}/telemetry` (`Telemetry` -> 204): what a live page draws, about ten posts a second. Best
effort: it may be dropped by anyone.

`POST jobs/{id}/artifacts` (`ArtifactsOffer` -> `ArtifactsGrant`): the runner says names, sizes and SHA-256
digests; for each file it is answered where to `PUT` it, with which headers. An upload whose length or
digest differs is refused by the store. `POST jobs/{id}/artifacts/{artifact_id}/stored` (`Fenced` -> 204)
makes it visible; 422 `upload_refused` where the file did not arrive as it was offered: it is offered again
then, for another address. Both calls may be repeated; a file once stored is not offered again (`upload` is
null). The server may read its content only later; one that is not what was offered is never served.

`POST jobs/{id}/finish` (`Finish` -> 204), once everything is uploaded: the last words. The last log bytes
ride on it. Repeating it is allowed and changes nothing. A runner that was cut off during a run (409 on
heartbeat, or no answer at all) finishes the run, keeps the results and tries `artifacts` and `finish`
whenever it can: as the last holder of the fence it may amend the conclusion of a lost job to the real one,
once; otherwise it gets 409 and discards them.

`POST jobs/{id}/release` (`Fenced` -> 204): only while `claimed`: back into the queue, at its old place.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

PROTOCOL_VERSION = 1
PROTOCOL_HEADER = "RAAS-Protocol"
FENCE_HEADER = "RAAS-Fence"
SERVER_HEADER = "RAAS-Server"
PREFIX = "/api/v1/runner"

MAX_BODY = 1 << 20
"""Longest request body, bytes, except `PUT` of an artifact."""
LOG_CHUNK_MAX = 256 * 1024
"""Longest piece of log in one request, bytes before JSON encoding (base64)."""
LOG_TIMES_MAX = 1000
"""Most times of one piece of log."""
UPLOAD_REFUSED = "upload_refused"
"""Code of the answer about a file that did not arrive as it was offered."""
WAIT_MAX_S = 50.0
"""Longest long poll [s]: below the minute after which proxies give up."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Text = Annotated[str, StringConstraints(max_length=4000)]


class Conclusion(str, Enum):
    """How a job ended: GitHub's words for a check run's conclusion."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    NEUTRAL = "neutral"
    ACTION_REQUIRED = "action_required"
    SKIPPED = "skipped"


class Message(BaseModel):
    """Base of all messages. Unknown fields are refused: they would be silently lost otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorAnswer(Message):
    """The body of every answer with a status of 400 and above.

    Attributes:
        error: A short code for programs.
        message: What happened and what to do, for people.
    """

    error: str
    message: str


class RobotReport(Message):
    """What the runner knows of its robot, from the controller's `status`.

    Attributes:
        kind: `pendulum` and the like.
        plant: Whether it is real.
        env_ids: The environments it hosts.
        healthy: Whether it may be given a job.
        message: Why not, or what it is doing.
        passport: Version of the calibration in force, or `simulated`.
    """

    kind: Name
    plant: Literal["simulated", "hardware"]
    env_ids: list[Annotated[str, StringConstraints(max_length=100)]] = Field(max_length=50)
    healthy: bool
    message: Text = ""
    passport: Annotated[str, StringConstraints(max_length=100)]


class Register(Message):
    """Ask for the runner's own token."""

    token: Annotated[str, StringConstraints(max_length=200)]
    software: Annotated[str, StringConstraints(max_length=50)]


class Registered(Message):
    """The runner's identity; `token` is shown this once."""

    name: Name
    labels: list[Name]
    token: str


class Claim(Message):
    """Ask for the next job.

    Attributes:
        key: Made up by the runner for each job it wants; repeats of a key get the same answer.
        wait_s: How long the server may hold the request [s].
        robot: The robot's state at this moment.
        software: Version of the runner's software.
        ahead: The robot is busy still; the job is to run next.
    """

    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    wait_s: float = Field(ge=0, le=WAIT_MAX_S)
    robot: RobotReport
    software: Annotated[str, StringConstraints(max_length=50)]
    ahead: bool = False


class JobLimits(Message):
    """What the server allows this job.

    Attributes:
        timeout_s: Longest time on the robot, per session [s].
        prepare_s: Longest time from claim to `running` [s].
        source_bytes_max: Longest source, bytes, unpacked ten times that.
        log_bytes_max: The log is cut there, with a note.
        artifact_bytes_max: Sum of all artifacts, bytes.
        artifact_count_max: How many files.
    """

    timeout_s: float = Field(gt=0)
    prepare_s: float = Field(gt=0)
    source_bytes_max: int = Field(gt=0)
    log_bytes_max: int = Field(gt=0)
    artifact_bytes_max: int = Field(gt=0)
    artifact_count_max: int = Field(gt=0)


class ClaimedJob(Message):
    """One job, as its runner sees it.

    Attributes:
        id: The job's id.
        attempt: Which try, from 1.
        fence: The fencing token of this claim.
        repository: `owner/name`.
        sha: The commit to run, exactly.
        ref: The branch or pull request it came from, for people.
        config: The `.raas.yml` in force, as `runner.repo_config.RepoConfig` writes it.
        sessions: How many sessions this job holds.
        limits: What it may use.
        lease_s: The claim lapses this long after the last heartbeat [s].
        heartbeat_s: How often to send one [s].
        url: The job's page.
    """

    id: int = Field(ge=1)
    attempt: int = Field(ge=1)
    fence: str
    repository: str
    sha: Sha
    ref: str
    config: dict[str, Any]
    sessions: int = Field(ge=1)
    limits: JobLimits
    lease_s: float = Field(gt=0)
    heartbeat_s: float = Field(gt=0)
    url: str


class Fenced(Message):
    """Base of every message about a claimed job."""

    fence: Annotated[str, StringConstraints(max_length=100)]


class LogTime(Message):
    """From a byte of the log on, this is when it was written.

    Attributes:
        offset: The byte, counted in the attempt's whole log.
        session: Number of the session; null outside of any.
        t: Its time [s], as in the trajectory's column `t`; null before its first tick and outside of any.
    """

    offset: int = Field(ge=0)
    session: int | None = Field(default=None, ge=0, le=999)
    t: float | None = Field(default=None, ge=0, le=1e6)


class LogChunk(Message):
    """A piece of the log.

    Attributes:
        offset: Where it begins, in bytes of the attempt's whole log.
        data: Base64 of raw bytes, which need not be UTF-8.
        times: When its parts were written, in order; nothing is known of bytes before the first.
    """

    offset: int = Field(ge=0)
    data: Annotated[str, StringConstraints(max_length=LOG_CHUNK_MAX * 4 // 3 + 4)]
    times: list[LogTime] = Field(default=[], max_length=LOG_TIMES_MAX)


class Heartbeat(Fenced):
    """The runner is alive; `phase` says what it is doing, in a few words."""

    phase: Annotated[str, StringConstraints(max_length=200)] = ""
    log: LogChunk | None = None


class HeartbeatAnswer(Message):
    """The lease is renewed.

    Attributes:
        log_length: Bytes of this attempt's log the server holds.
        cancel: A reason to stop, or null.
    """

    log_length: int
    cancel: str | None = None


class Telemetry(Fenced):
    """The latest ticks of a session; `rows` has one list a tick, in the order of `columns`."""

    session: int = Field(ge=0)
    columns: list[Annotated[str, StringConstraints(max_length=50)]] = Field(max_length=64)
    rows: list[list[float | None]] = Field(max_length=1000)


_PART = r"(?:[^./\\\x00-\x1f\x7f]|\.[^./\\\x00-\x1f\x7f]|\.\.[^/\\\x00-\x1f\x7f])[^/\\\x00-\x1f\x7f]*"
ArtifactName = Annotated[str, StringConstraints(pattern=rf"^{_PART}(?:/{_PART})*$", max_length=255)]
"""Parts between slashes, none of them `.`, `..` or empty; no backslash, no control character."""


class ArtifactOffer(Message):
    """A file the runner would upload; `name` may hold slashes but no step upwards."""

    name: ArtifactName
    size: int = Field(ge=0)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArtifactsOffer(Fenced):
    """All files of the job, or a further part of them."""

    files: list[ArtifactOffer] = Field(max_length=1000)


class ArtifactUpload(Message):
    """Where to `PUT` one file, with exactly these headers."""

    url: str
    headers: dict[str, str]


class ArtifactGrant(Message):
    """The answer for one file; `upload` is null where it is stored already."""

    id: int
    name: str
    upload: ArtifactUpload | None


class ArtifactsGrant(Message):
    """The answer to an offer, in the same order."""

    files: list[ArtifactGrant]


class SessionResult(Message):
    """One session's outcome, as the controller recorded it (see `raas_gym.control.SessionSummary`)."""

    number: int = Field(ge=0)
    reason: Annotated[str, StringConstraints(max_length=50)]
    message: Text
    steps: int = Field(ge=0)
    ticks: int = Field(ge=0)
    episodes: int = Field(ge=0)
    late: int = Field(ge=0)
    duration_s: float = Field(ge=0)
    scores: dict[str, float | None]
    robot: Name
    passport: Annotated[str, StringConstraints(max_length=100)]
    interventions: list[Text] = Field(default=[], max_length=1000)
    exit_code: int | None = None


class Annotation(Message):
    """A remark on a line of the repository, for the check run."""

    path: Annotated[str, StringConstraints(max_length=500)]
    line: int = Field(ge=1)
    title: Annotated[str, StringConstraints(max_length=255)]
    message: Annotated[str, StringConstraints(max_length=4000)]


class Finish(Fenced):
    """The job is over.

    Attributes:
        conclusion: How it ended.
        reason: One sentence for people: why.
        sessions: What was recorded, in order; empty where the robot did not move.
        annotations: Remarks on the repository's lines.
        log: The last piece of the log, if any is missing at the server.
        image: Digest of the container image that ran, or empty.
        started_at, ended_at: When the first session began and the last one ended, by the runner's clock;
            for people only, the server's own clock decides everything.
        timings: Seconds by part (`source`, `image`, `session`, `artifacts`), for the timeline.
    """

    conclusion: Conclusion
    reason: Text
    sessions: list[SessionResult] = Field(default=[], max_length=100)
    annotations: list[Annotation] = Field(default=[], max_length=50)
    log: LogChunk | None = None
    image: Annotated[str, StringConstraints(max_length=200)] = ""
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    timings: dict[str, float] = {}
