"""The database's tables. Times are UTC; bytes and seconds unless a name says otherwise."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from github_app.columns import (
    Base,
    RowId,
    partial_index,
)


class Delivery(Base):
    """A webhook delivery as it came, stored before it is answered."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    guid: Mapped[str] = mapped_column(String(100), unique=True)
    event: Mapped[str] = mapped_column(String(100))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    error: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (partial_index("ix_deliveries_waiting", "next_try_at", where="processed_at IS NULL"),)


class Repository(Base):
    """A GitHub repository the App is installed on, under GitHub's own id (names change)."""

    __tablename__ = "repositories"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    installation_id: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(200))
    private: Mapped[bool]
    default_branch: Mapped[str] = mapped_column(String(255))

    __table_args__ = (Index("ix_repositories_full_name", "owner", "name"),)

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"


class Owner(Base):
    """Whom jobs count for in the fair queue; submissions lock the row, so that they follow one another.

    Attributes:
        login: Lower case.
        latest_tag: The largest virtual time at which a job of theirs would end.
    """

    __tablename__ = "owners"

    login: Mapped[str] = mapped_column(String(100), primary_key=True)
    latest_tag: Mapped[float] = mapped_column(default=0.0)


class Runner(Base):
    """A runner beside a robot. Its token is kept as a SHA-256 digest only.

    Attributes:
        invite_hash: Digest of the one-time token; unset once it is used.
        token_hash: Digest of the runner's own token; unset before registration and after revocation.
        seen_at: Its last call.
        robot: Its robot's last `runner.protocol.RobotReport`.
        rules: Its host's `rules.RobotRules`, or None.
        drained_at, drained_by: Its host wants it to take no more jobs; who said so.
        camera_url: A picture or MJPEG stream of the robot, from its host.
    """

    __tablename__ = "runners"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    labels: Mapped[list[str]]
    invite_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    invite_expires_at: Mapped[datetime | None]
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    software: Mapped[str | None] = mapped_column(String(50))
    robot: Mapped[dict[str, Any] | None]
    rules: Mapped[dict[str, Any] | None]
    drained_at: Mapped[datetime | None]
    drained_by: Mapped[str | None] = mapped_column(String(100))
    camera_url: Mapped[str | None] = mapped_column(String(500))


class Passport(Base):
    """A passport that a robot came with, from `since` until the next one (`passports`).

    Attributes:
        content: What it says, as the header of a recording made under it has it; None until there is one.
    """

    __tablename__ = "passports"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    runner_id: Mapped[int] = mapped_column(ForeignKey("runners.id"))
    version: Mapped[str] = mapped_column(String(100))
    plant: Mapped[str] = mapped_column(String(20))
    since: Mapped[datetime]
    content: Mapped[dict[str, Any] | None]

    __table_args__ = (Index("ix_passports_robot", "runner_id", "since"),)


class Best(Base):
    """A repository's best run of a task on one robot, kept up to date as jobs finish (`leaderboard`).

    Attributes:
        task: `tasks.Task.name`.
        plant: `simulated` or `hardware`: what the run was on, whatever the robot is today.
        score: As the controller recorded it.
        rank: The score, turned so that larger is better.
    """

    __tablename__ = "bests"

    task: Mapped[str] = mapped_column(String(40), primary_key=True)
    plant: Mapped[str] = mapped_column(String(20), primary_key=True)
    runner_id: Mapped[int] = mapped_column(ForeignKey("runners.id"), primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repositories.id"), primary_key=True)
    score: Mapped[float]
    rank: Mapped[float]
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)

    __table_args__ = (Index("ix_bests_board", "task", "plant", "rank"),)


class Job(Base):
    """One request to run one repository at one commit on one robot.

    Attributes:
        trigger_key: What asked for it, made so that the same request gives the same key: unique.
        announced_by: Number of the delivery that announced the commit, where it starts by itself.
        base_branch: The branch that the pull request would change, where there is one.
        head_repository: `owner/name` the commit lives in, where that is a fork.
        config: The `.raas.yml` in force, as `RepoConfig` writes it.
        config_error: What is wrong with `.raas.yml`: `{"message", "path", "line"}`; then the job is refused.
        labels: What a robot must have, sorted; `lane` is the same as one string, for the claim's index.
        owner: Whom it counts for in the queue, lower case: the repository's owner, or who asked for it.
        order_key: Its tag in the fair queue (`fairness`); smaller is earlier. A requeue keeps it.
        attempt: Claims so far.
        ahead: Claimed by a runner whose robot is still busy (`ahead`).
        fence: Token of the latest claim; `claim_key` is what the runner called it.
        latest_event, reported_event: The newest event's id, and the one the check run shows.
        results: The runner's `Finish`, less the log.
        log_length: Bytes of log stored for the attempt in `attempt`.
        files_removed_at: When log and artifacts were given up (`retention`).
    """

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repositories.id"))
    trigger: Mapped[str] = mapped_column(String(30))
    trigger_key: Mapped[str] = mapped_column(String(255), unique=True)
    requested_by: Mapped[str] = mapped_column(String(100))
    owner: Mapped[str] = mapped_column(String(100), server_default="")
    sha: Mapped[str] = mapped_column(String(40))
    ref: Mapped[str] = mapped_column(String(255))
    pull_request: Mapped[int | None]
    base_branch: Mapped[str | None] = mapped_column(String(255))
    head_repository: Mapped[str | None] = mapped_column(String(300))
    rerun_of: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    announced_by: Mapped[int | None] = mapped_column(BigInteger)

    config: Mapped[dict[str, Any]]
    config_error: Mapped[dict[str, Any] | None]
    labels: Mapped[list[str]]
    lane: Mapped[str] = mapped_column(String(255))
    timeout_s: Mapped[float]
    sessions: Mapped[int] = mapped_column(default=1)

    status: Mapped[str] = mapped_column(String(20))
    conclusion: Mapped[str | None] = mapped_column(String(20))
    lost: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str | None] = mapped_column(Text)
    cancel_reason: Mapped[str | None] = mapped_column(Text)
    order_key: Mapped[float]
    created_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    runner_id: Mapped[int | None] = mapped_column(ForeignKey("runners.id"))
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[str | None] = mapped_column(String(64))
    claim_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    ahead: Mapped[bool] = mapped_column(default=False, server_default=false())
    lease_expires_at: Mapped[datetime | None]
    phase: Mapped[str] = mapped_column(String(200), default="")
    results: Mapped[dict[str, Any] | None]
    log_length: Mapped[int] = mapped_column(BigInteger, default=0)
    files_removed_at: Mapped[datetime | None]

    latest_event: Mapped[int] = mapped_column(BigInteger, default=0)
    reported_event: Mapped[int] = mapped_column(BigInteger, default=0)
    check_run_id: Mapped[int | None] = mapped_column(BigInteger)
    report_tries: Mapped[int] = mapped_column(default=0)
    next_report_at: Mapped[datetime]

    repository: Mapped[Repository] = relationship(lazy="joined", innerjoin=True)
    runner: Mapped[Runner | None] = relationship(lazy="joined")

    # Each claim writes the row anew into every index that is not partial, and into those it comes to be in.
    __table_args__ = (
        Index("ix_jobs_commit", "repository_id", "sha"),
        partial_index("ix_jobs_queued", "lane", "order_key", "id", where="status = 'queued'"),
        partial_index("ix_jobs_owner_queued", "owner", "lane", "order_key", where="status = 'queued'"),
        partial_index("ix_jobs_owner_claimed", "owner", "lane", "order_key", where="attempt > 0"),
        partial_index("ix_jobs_lane_claimed", "lane", "order_key", where="attempt > 0"),
        partial_index("ix_jobs_owner_started", "owner", "started_at", where="started_at IS NOT NULL"),
        partial_index(
            "ix_jobs_robot_started", "runner_id", "started_at", "completed_at", where="started_at IS NOT NULL"
        ),
        partial_index("uq_jobs_claimed", "runner_id", where="status = 'claimed'", unique=True),
        partial_index("ix_jobs_ahead", "order_key", "id", where="status = 'claimed' AND ahead"),
        partial_index("ix_jobs_held", "runner_id", where="status IN ('claimed', 'running')"),
        partial_index("ix_jobs_unreported", "next_report_at", where="reported_event < latest_event"),
        partial_index(
            "ix_jobs_kept", "completed_at", where="status = 'completed' AND files_removed_at IS NULL"
        ),
    )


class JobEvent(Base):
    """One move of a job, written in the transaction that made it. The audit trail and the live stream."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(30))
    data: Mapped[dict[str, Any]]


class LogChunk(Base):
    """A piece of a job's log.

    Attributes:
        start: Its offset in the attempt's whole log.
        times: When its parts were written, as `log_times.Mark`s, where that is known.
    """

    __tablename__ = "log_chunks"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int]
    start: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    times: Mapped[list[Any] | None]

    __table_args__ = (UniqueConstraint("job_id", "attempt", "start"),)


class Artifact(Base):
    """A file a job left behind.

    Attributes:
        place: Where it lies in the store, or will; unset before anything was made ready for it.
        ticket: What the store needs to close its upload.
        stored_at: Unset until its upload is confirmed.
        verified_at: Unset until its content is known to be what was offered; it is not served before.
        head: Its first bytes, where a page can show them (`previews`).
    """

    __tablename__ = "artifacts"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int]
    name: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    stored_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    place: Mapped[str | None] = mapped_column(String(100))
    ticket: Mapped[str | None] = mapped_column(Text)
    head: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)

    __table_args__ = (
        UniqueConstraint("job_id", "attempt", "name"),
        partial_index(
            "ix_artifacts_unverified", "stored_at", where="stored_at IS NOT NULL AND verified_at IS NULL"
        ),
    )


class WebSession(Base):
    """Somebody who is signed in at the pages; the browser's token is kept as a digest.

    Attributes:
        person_id: GitHub's id of the person; the login may change.
        private_repositories: Ids of those with the App that the person could read at sign-in.
    """

    __tablename__ = "web_sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    login: Mapped[str] = mapped_column(String(100))
    person_id: Mapped[int] = mapped_column(BigInteger)
    private_repositories: Mapped[list[int]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Turn(Base):
    """A periodic work of the server, done by one of its processes at a time; `next_at` is when it is due."""

    __tablename__ = "turns"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    next_at: Mapped[datetime]


class RateLimit(Base):
    """What an installation may still ask of GitHub, shared by all server processes (`rate_limits`).

    Attributes:
        installation_id: GitHub's number; -1 for what is not about one installation.
        blocked_until: GitHub said to wait until then.
        minute, hour: The windows (whole minutes and hours since the epoch) that the counts belong to.
        minute_writes, hour_writes: Requests that created or changed content in them.
    """

    __tablename__ = "rate_limits"

    installation_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    blocked_until: Mapped[datetime | None]
    minute: Mapped[int] = mapped_column(BigInteger, default=0)
    minute_writes: Mapped[int] = mapped_column(default=0)
    hour: Mapped[int] = mapped_column(BigInteger, default=0)
    hour_writes: Mapped[int] = mapped_column(default=0)


class Fact(Base):
    """Something the installation remembers about itself, such as which artifact directory is its own."""

    __tablename__ = "facts"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
