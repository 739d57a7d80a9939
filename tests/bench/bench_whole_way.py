"""From a webhook to the first step in the container, warm, broken down by part.

A whole stack runs as processes; the program itself says when its first step returned. All parts share one
machine and one clock, so times from different processes may be subtracted.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import requests

from demo.processes import wait_until
from demo.stack import Stack, running
from tests.bench.report import Report

RUNS = 7
OWNER, NAME = "ada", "ada/stopwatch"
PROGRAM = """\
import time
import gymnasium as gym
import raas_gym
started = time.time()
env = gym.make("RaasPendulum-v1")
env.reset()
env.step([0.0])
print("first step", time.time(), "python", started)
env.close()
"""


@dataclass(frozen=True)
class Times:
    """When each thing happened, seconds since the epoch."""

    received: float
    created: float
    claimed: float
    running: float
    python: float
    stepped: float
    finished: float
    shown: float


def main() -> None:
    """Run it `RUNS` times after a warm-up, print medians."""
    with TemporaryDirectory() as folder, running(Path(folder)) as stack:
        world = stack.world
        world.user(OWNER)
        world.repository(NAME)
        world.install(stack.app.id, NAME)
        times = [_once(stack, number) for number in range(RUNS + 1)][1:]
    report = Report("whole_way")
    parts = {
        "webhook received to job queued [s]": [t.created - t.received for t in times],
        "webhook received to claim, idle runner [s]": [t.claimed - t.received for t in times],
        "claim to `running` (source, image) [s]": [t.running - t.claimed for t in times],
        "`running` to Python started (session, container, imports) [s]": [
            t.python - t.running for t in times
        ],
        "Python started to first step [s]": [t.stepped - t.python for t in times],
        "first step to finished [s]": [t.finished - t.stepped for t in times],
        "finished to check run completed at GitHub [s]": [t.shown - t.finished for t in times],
    }
    for what, values in parts.items():
        report.add(what, median(values))
    claim = median(t.stepped - t.claimed for t in times)
    report.add(
        "claim to first step, warm [s]", claim, peer=1.5, peer_name="limit", bar="< 1.5 s", met=claim < 1.5
    )
    whole = median(t.stepped - t.received for t in times)
    report.add(
        "webhook to first step, warm [s]", whole, peer=1.5, peer_name="limit", bar="< 1.5 s", met=whole < 1.5
    )
    report.close()


def _once(stack: Stack, number: int) -> Times:
    sha = stack.world.push(NAME, {"run.py": PROGRAM, "number": f"{number}\n"}, user=OWNER)

    def done() -> bool:
        runs = stack.world.check_runs(NAME, sha, app_id=stack.app.id)
        return bool(runs) and runs[0]["status"] == "completed"

    wait_until(done, 60, "the check run", every_s=0.02)
    shown = datetime.now(UTC).timestamp()
    (run,) = stack.world.check_runs(NAME, sha, app_id=stack.app.id)
    if run["conclusion"] != "success":
        raise SystemExit(f"the run did not succeed: {run['output']}")
    job = requests.get(f"{stack.url}/api/v1/jobs/{run['external_id']}", timeout=10).json()
    log = requests.get(f"{stack.url}/jobs/{run['external_id']}/log", timeout=10).text
    words = next(line for line in log.splitlines() if line.startswith("first step")).split()
    stamps = [
        datetime.fromisoformat(job[f"{name}_at"]).timestamp() for name in ("created", "claimed", "started")
    ]
    finished = datetime.fromisoformat(job["completed_at"]).timestamp()
    received = _received(stack.data / "server" / "raas.sqlite3", sha)
    return Times(received, *stamps, float(words[4]), float(words[2]), finished, shown)


def _received(database: Path, sha: str) -> float:
    """When the push's delivery was stored."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT received_at FROM deliveries WHERE event = 'push' AND instr(payload, ?) ORDER BY id",
            (sha.encode(),),
        )
        return datetime.fromisoformat(rows.fetchone()[0]).replace(tzinfo=UTC).timestamp()


if __name__ == "__main__":
    main()
