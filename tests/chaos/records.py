"""What the server has written down, read from its database as it is: SQLite, beside the running server."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JobRow:
    """A job, as far as the campaign looks at it."""

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
    events: tuple[str, ...]


class Records:
    """The server's database, opened for each question: the server may be killed at any time.

    Args:
        path: The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def jobs(self) -> list[JobRow]:
        """Every job with its events."""
        columns = "id, sha, trigger, status, conclusion, reason, attempt, log_length, check_run_id"
        rows = self._ask(f"SELECT {columns}, reported_event >= latest_event FROM jobs ORDER BY id")  # noqa: S608
        events: dict[int, list[str]] = {}
        for job, kind in self._ask("SELECT job_id, kind FROM job_events ORDER BY id"):
            events.setdefault(job, []).append(kind)
        return [JobRow(*row[:-1], bool(row[-1]), tuple(events.get(row[0], []))) for row in rows]

    def logs(self) -> dict[tuple[int, int], bytes]:
        """The log of every job and attempt; a gap or an overlap in it raises AssertionError."""
        logs: dict[tuple[int, int], bytes] = {}
        rows = self._ask(
            "SELECT job_id, attempt, start, data FROM log_chunks ORDER BY job_id, attempt, start"
        )
        for job, attempt, start, data in rows:
            before = logs.get((job, attempt), b"")
            assert start == len(before), f"job {job}-{attempt}: a piece at {start}, the log had {len(before)}"
            logs[job, attempt] = before + data
        return logs

    def artifacts(self, job: int) -> set[str]:
        """Names of the files a job left."""
        rows = self._ask("SELECT name FROM artifacts WHERE job_id = ? AND stored_at IS NOT NULL", (job,))
        return {name for (name,) in rows}

    def unprocessed(self) -> int:
        """Deliveries that wait to become what they become."""
        return int(self._ask("SELECT count(*) FROM deliveries WHERE processed_at IS NULL")[0][0])

    def _ask(self, question: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with closing(sqlite3.connect(self.path, timeout=20)) as database:
            return database.execute(question, values).fetchall()


def ledger(path: Path) -> list[tuple[int, int, int]]:
    """Every session the controller ever opened: job, attempt, number."""
    if not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [(entry["job"], entry["attempt"], entry["number"]) for entry in found]
