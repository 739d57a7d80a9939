"""What the servers have written down, read from their database beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool


@dataclass(frozen=True)
class JobRow:
    """A job, as far as the campaign looks at it; `ticks` of each session, as the runner told them."""

    id: int
    sha: str
    trigger: str
    status: str
    conclusion: str | None
    reason: str | None
    attempt: int
    log_length: int
    check_run_id: int | None
    reported: bool
    ticks: tuple[int, ...]
    events: tuple[str, ...]


@dataclass(frozen=True)
class ArtifactRow:
    """A file that was acknowledged."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DeliveryRow:
    """A webhook as it was stored, and what became of it."""

    processed: bool
    outcome: str | None
    error: str | None


class Records:
    """The database, with a connection for each question: it may be killed at any time.

    Args:
        url: As SQLAlchemy writes it.
    """

    def __init__(self, url: str) -> None:
        waiting = {"timeout": 20} if url.startswith("sqlite") else {"connect_timeout": 20}
        self._engine = create_engine(url, poolclass=NullPool, connect_args=waiting)

    def jobs(self) -> list[JobRow]:
        """Every job with its events."""
        columns = "id, sha, trigger, status, conclusion, reason, attempt, log_length, check_run_id"
        question = f"SELECT {columns}, reported_event >= latest_event, results FROM jobs ORDER BY id"  # noqa: S608
        rows = self._ask(question)
        events: dict[int, list[str]] = {}
        for job, kind in self._ask("SELECT job_id, kind FROM job_events ORDER BY id"):
            events.setdefault(job, []).append(kind)
        return [
            JobRow(*told, bool(reported), _ticks(results), tuple(events.get(told[0], [])))
            for *told, reported, results in rows
        ]

    def logs(self, first: int = 0) -> dict[tuple[int, int], bytes]:
        """The log of every job from `first` on, and attempt; a gap or an overlap raises AssertionError."""
        logs: dict[tuple[int, int], bytes] = {}
        rows = self._ask(
            "SELECT job_id, attempt, start, data FROM log_chunks WHERE job_id >= :first"
            " ORDER BY job_id, attempt, start",
            {"first": first},
        )
        for job, attempt, start, data in rows:
            before = logs.get((job, attempt), b"")
            assert start == len(before), f"job {job}-{attempt}: a piece at {start}, the log had {len(before)}"
            logs[job, attempt] = before + bytes(data)
        return logs

    def artifacts(self) -> dict[tuple[int, int], list[ArtifactRow]]:
        """What every job and attempt left, as far as it was acknowledged."""
        found: dict[tuple[int, int], list[ArtifactRow]] = {}
        question = "SELECT job_id, attempt, name, size, sha256 FROM artifacts WHERE stored_at IS NOT NULL"
        for job, attempt, *columns in self._ask(question):
            found.setdefault((job, attempt), []).append(ArtifactRow(*columns))
        return found

    def deliveries(self) -> dict[str, DeliveryRow]:
        """Every stored webhook by its GUID."""
        rows = self._ask("SELECT guid, processed_at IS NOT NULL, outcome, error FROM deliveries")
        return {guid: DeliveryRow(bool(processed), *told) for guid, processed, *told in rows}

    def _ask(self, question: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(question), values or {}))


def _ticks(results: Any) -> tuple[int, ...]:
    told = json.loads(results) if isinstance(results, str) else results
    return tuple(session["ticks"] for session in (told or {}).get("sessions", []))


def ledger(path: Path) -> list[tuple[int, int, int]]:
    """Every session the controller ever opened: job, attempt, number."""
    if not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [(entry["job"], entry["attempt"], entry["number"]) for entry in found]
