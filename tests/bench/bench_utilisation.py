"""Share of the time a robot is in a session or its mandatory reset, with jobs of ten seconds back to back.

A whole stack runs as processes: the real server, controller (simulated plant, real time), runner and Docker
engine. A session lasts from the request to open it, with which the reset begins, to its close; the times are
the runner's own, as it reports them. The programs say when they began and ended, by the same clock.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import requests

from demo.processes import wait_until
from demo.stack import Stack, running
from tests.bench.report import Report

JOBS = 5
STEPS = 200
OWNER = "ada"
PROGRAM = f"""\
import time
began = time.time()
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
first = time.time()
for _ in range({STEPS}):
    env.step([0.0])
print("stamps", began, first, time.time())
env.close()
"""


@dataclass(frozen=True)
class Session:
    """When each thing happened [s since the epoch]; `kept` is how long the results took to collect [s]."""

    opened: float
    python: float
    first: float
    last: float
    closed: float
    kept: float


def main() -> None:
    """Queue `JOBS` jobs at once and look at how the robot spent its time."""
    with TemporaryDirectory() as folder, running(Path(folder)) as stack:
        world = stack.world
        world.user(OWNER)
        for number in range(JOBS):  # a second push to one branch would take the first out of the queue
            name = f"{OWNER}/ten-seconds-{number}"
            world.repository(name)
            world.install(stack.app.id, name)
            world.push(name, {"run.py": PROGRAM}, user=OWNER)
        wait_until(lambda: _ended(stack) == JOBS, 60 * JOBS, "the jobs to end", every_s=0.2)
        sessions = sorted(_sessions(stack), key=lambda session: session.opened)
    whole = sessions[-1].closed - sessions[0].opened
    used = sum(session.closed - session.opened for session in sessions) / whole
    report = Report("utilisation")
    report.add(
        "share of time in a session or its reset",
        used,
        peer=0.9,
        peer_name="limit",
        bar=">= 0.9",
        met=used >= 0.9,
    )
    stepping = sum(session.last - session.first for session in sessions) / whole
    report.add("share of time in which the program steps", stepping)
    parts = {
        "session opened (reset) to Python started [s]": [s.python - s.opened for s in sessions],
        "Python started to first observation [s]": [s.first - s.python for s in sessions],
        f"{STEPS} steps [s]": [s.last - s.first for s in sessions],
        "last step to session closed [s]": [s.closed - s.last for s in sessions],
        "session closed to results collected [s]": [s.kept for s in sessions],
        "session closed to the next one's opening [s]": [b.opened - a.closed for a, b in pairwise(sessions)],
    }
    for what, values in parts.items():
        report.add(what, median(values))
    report.close()


def _rows(stack: Stack) -> list[tuple[int, str | None, str]]:
    with closing(sqlite3.connect(stack.data / "server" / "raas.sqlite3")) as database:
        return database.execute("SELECT id, conclusion, results FROM jobs").fetchall()


def _ended(stack: Stack) -> int:
    ends = [conclusion for _, conclusion, _ in _rows(stack) if conclusion is not None]
    if wrong := [conclusion for conclusion in ends if conclusion != "success"]:
        raise SystemExit(f"a job ended as {wrong[0]}: see {stack.data}")
    return len(ends)


def _sessions(stack: Stack) -> list[Session]:
    found = []
    for number, _, text in _rows(stack):
        results = json.loads(text)
        log = requests.get(f"{stack.url}/jobs/{number}/log", timeout=10).text
        words = next(line for line in log.splitlines() if line.startswith("stamps")).split()
        opened, closed = (
            datetime.fromisoformat(results[name]).timestamp() for name in ("started_at", "ended_at")
        )
        found.append(Session(opened, *map(float, words[1:4]), closed, results["timings"]["artifacts"]))
    return found


if __name__ == "__main__":
    main()
