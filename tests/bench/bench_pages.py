"""Server time and size of each page with a long history: 100,000 jobs, 10 robots, 500 repositories.

Each page is asked for in turn through the whole application, SQLite in the same process, no network. What the
process computed is held to the bar: on an idle machine that is the server's time, on a busy one the clock
would mostly tell of the neighbours. The clock's median is told beside it.
"""

from __future__ import annotations

import gc
import random
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import insert

from github_app import app as application
from github_app import config, leaderboard
from github_app.db import Database
from github_app.models import Best, Job, Passport, Repository, Runner
from github_app.moves import utc_now
from github_app.tasks import TASKS
from tests.bench.report import Report

JOBS, ROBOTS, REPOSITORIES, WAITING = 100_000, 10, 500, 200
BATCH = 5000
ROUNDS = 40
SPAN = timedelta(days=60)
P95_MS, BYTES = 50.0, 150_000


def fill(database: Database) -> None:
    """The history, written as it would lie there after two months."""
    draw, now = random.Random(7), utc_now()
    with database.write() as session:
        session.execute(insert(Repository), [_repository(number) for number in range(1, REPOSITORIES + 1)])
        session.execute(insert(Runner), [_robot(number, now) for number in range(1, ROBOTS + 1)])
        session.execute(
            insert(Passport),
            [{"runner_id": 1, "version": f"2026-{k}", "plant": "hardware", "since": now} for k in range(20)],
        )
    bests: dict[tuple[str, str, int, int], dict[str, Any]] = {}
    for first in range(1, JOBS + 1, BATCH):
        rows = [_ended(number, draw, now) for number in range(first, first + BATCH)]
        for row in rows:
            _rank(bests, row)
        with database.write() as session:
            session.execute(insert(Job), rows)
    with database.write() as session:
        session.execute(insert(Job), [_queued(JOBS + n, now) for n in range(1, WAITING + 1)])
        session.execute(insert(Best), list(bests.values()))


def _repository(number: int) -> dict[str, Any]:
    private = number % 10 == 0
    name = f"pendulum-{number}"
    common = {"installation_id": 1, "owner": "lab", "default_branch": "main"}
    return {"id": number, "name": name, "private": private, **common}


def _robot(number: int, now: datetime) -> dict[str, Any]:
    plant = "hardware" if number % 2 else "simulated"
    report = {
        "kind": "pendulum",
        "plant": plant,
        "env_ids": ["RaasPendulum-v1"],
        "healthy": True,
        "message": "",
        "passport": "2026-19" if number % 2 else "simulated",
    }
    state = {"labels": ["pendulum"], "token_hash": f"{number}", "created_at": now, "seen_at": now}
    return {"id": number, "name": f"robot-{number}", "robot": report, **state}


def _job(number: int, at: datetime) -> dict[str, Any]:
    return {
        "id": number,
        "repository_id": number % REPOSITORIES + 1,
        "trigger": "push",
        "trigger_key": f"bench:{number}",
        "requested_by": "ada",
        "owner": "lab",
        "sha": f"{number:040x}",
        "ref": "main",
        "config": {"version": 1, "robot": ["pendulum"]},
        "labels": ["pendulum"],
        "lane": "pendulum",
        "timeout_s": 60.0,
        "order_key": float(number),
        "created_at": at,
        "next_report_at": at,
    }


def _ended(number: int, draw: random.Random, now: datetime) -> dict[str, Any]:
    at = now - SPAN * (1 - number / JOBS)
    runner = number % ROBOTS + 1
    passport = "2026-19" if runner % 2 else "simulated"
    time_s = draw.uniform(2, 9)
    scores = {
        "episode_return": -draw.uniform(150, 4000),
        "swing_up_time": time_s,
        "composite": draw.uniform(0.1, 0.7),
        "upright": 1 - time_s / 20,
        "upright_time": 20 - time_s,
    }
    session = {
        "number": 0,
        "reason": "done",
        "message": "",
        "steps": 400,
        "ticks": 400,
        "episodes": 1,
        "late": 0,
        "duration_s": 20.0,
        "scores": scores,
        "robot": f"robot-{runner}",
        "passport": passport,
    }
    return _job(number, at) | {
        "status": "completed",
        "conclusion": draw.choice(["success", "success", "failure"]),
        "runner_id": runner,
        "attempt": 1,
        "claimed_at": at,
        "started_at": at,
        "completed_at": at + timedelta(seconds=30),
        "results": {"conclusion": "success", "reason": "", "sessions": [session]},
    }


def _queued(number: int, now: datetime) -> dict[str, Any]:
    return _job(number, now) | {"status": "queued"}


def _rank(bests: dict[tuple[str, str, int, int], dict[str, Any]], row: dict[str, Any]) -> None:
    session = row["results"]["sessions"][0]
    plant = "simulated" if session["passport"] == "simulated" else leaderboard.HARDWARE
    for task in TASKS:
        score = task.achieved(session["scores"])
        assert score is not None
        key = (task.name, plant, row["runner_id"], row["repository_id"])
        known = bests.get(key)
        if known is None or task.rank(score) > known["rank"]:
            values = (*key, score, task.rank(score), row["id"])
            names = ("task", "plant", "runner_id", "repository_id", "score", "rank", "job_id")
            bests[key] = dict(zip(names, values, strict=True))


def measure(app: Flask, report: Report) -> None:
    """Each page in turn, several rounds."""
    client = app.test_client()
    paths = {
        "queue": "/",
        "job": f"/jobs/{JOBS - 3}",
        "robots": "/robots",
        "robot": "/robots/robot-1",
        "leaderboard": "/leaderboard",
        "leaderboard of a robot": "/leaderboard?task=swing-up&on=simulated&robot=robot-2",
        "badge": "/badge/lab/pendulum-1.svg",
        "API's page": "/api/docs",
        "submit": "/submit",
    }
    times: dict[str, list[float]] = {name: [] for name in paths}
    clock: dict[str, list[float]] = {name: [] for name in paths}
    sizes = {}
    for _ in range(ROUNDS):
        for name, path in paths.items():
            begin, computed = time.perf_counter(), time.process_time()
            answer = client.get(path)
            times[name].append(1000 * (time.process_time() - computed))
            clock[name].append(1000 * (time.perf_counter() - begin))
            assert answer.status_code == 200, path
            sizes[name] = len(answer.data)
    for name, found in times.items():
        p95 = sorted(found)[int(0.95 * len(found))]
        median = statistics.median(clock[name])
        bar = f"< {P95_MS:g}"
        report.add(
            f"{name}, p95 [ms]", p95, peer=median, peer_name="clock, median", bar=bar, met=p95 < P95_MS
        )
    static = sum(
        len(client.get(f"/static/{name}").data) for name in ("raas.css", "raas.svg", "queue.js", "stream.js")
    )
    total = sizes["queue"] + static
    report.add("first page with all it loads [bytes]", total, bar=f"< {BYTES}", met=total < BYTES)


def main() -> None:
    """Fill, measure, report."""
    report = Report("pages")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        settings = config.load({"RAAS_DATA_DIR": folder, "RAAS_OWNERS": "*"})
        database = Database(settings.database_url)
        database.upgrade()
        fill(database)
        database.close()
        app = application.create_app(settings)
        gc.collect()
        gc.freeze()  # as a worker does before it serves (`serving.Worker.run`)
        measure(app, report)
        application.close(app)
        report.add("database [MB]", sum(file.stat().st_size for file in data.glob("*.sqlite3")) / 1e6)
    report.close()


if __name__ == "__main__":
    main()
