"""Two thousand idle runners on one server: what each costs, and how soon a job reaches one of them.

One server process as `raas-server serve` runs it, on PostgreSQL, and a process of its own for the runners,
which long-poll over a connection each. A job is stored and announced as a webhook's processing does it, by
another process; the time runs until the runner has the answer to its claim. First with an empty database,
then with 100,000 jobs of history and 10,000 queued for robots that are not here.
"""

from __future__ import annotations

import multiprocessing
import resource
import secrets
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import gevent
import psycopg
import requests
from gevent import monkey
from sqlalchemy import insert

from github_app import queue, tokens
from github_app.db import Database
from github_app.models import Job, Repository, Runner
from github_app.moves import utc_now
from runner.protocol import PREFIX
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration" / "server"))
import postgres as pg
from server_process import ServerProcess

RUNNERS = 2000
JOBS = 200
PAUSE_S = 0.05
BAR_S = 0.25
HISTORY, OTHERS = 100_000, 10_000
LANE = ["pendulum"]
ROBOT = {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}


def allow_many_files() -> None:
    """Each runner holds a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def runners(url: str, names: list[str], pipe: Connection) -> None:
    """A process of runners: each waits, says when it got which job, gives it back as finished, and waits."""
    monkey.patch_all(ssl=False)  # `requests` has imported that already, and nobody needs it
    allow_many_files()
    gevent.joinall([gevent.spawn(_one, url, token, pipe) for token in names])


def _one(url: str, token: str, pipe: Connection) -> None:
    session = requests.Session()
    session.headers.update({"RAAS-Protocol": "1", "Authorization": f"Bearer {token}"})
    while True:
        wish = {"key": secrets.token_hex(16), "wait_s": 50, "robot": ROBOT, "software": "1"}
        try:
            answer = session.post(f"{url}{PREFIX}/claim", json=wish, timeout=90)
        except requests.RequestException:
            gevent.sleep(1)
            continue
        if answer.status_code == 200:
            job = answer.json()
            pipe.send((job["id"], time.time()))
            body = {"fence": job["fence"], "conclusion": "failure", "reason": "bench"}
            session.post(f"{url}{PREFIX}/jobs/{job['id']}/finish", json=body, timeout=90)


def add_runners(database: Database) -> list[str]:
    """Registered runners; their tokens."""
    found = [secrets.token_urlsafe(32) for _ in range(RUNNERS)]
    now = utc_now()
    rows = [
        {"name": f"r{number}", "labels": [], "token_hash": tokens.digest(token), "created_at": now}
        for number, token in enumerate(found)
    ]
    with database.write() as session:
        session.merge(
            Repository(id=1, installation_id=1, owner="a", name="b", private=False, default_branch="main")
        )
        session.execute(insert(Runner), rows)
    return found


def fill(database: Database) -> None:
    """History, and jobs that wait for robots which are not here."""
    now = utc_now()
    job = {
        "repository_id": 1, "trigger": "push", "requested_by": "alice", "owner": "a", "sha": "5" * 40,
        "ref": "main", "config": {}, "timeout_s": 120.0, "created_at": now, "next_report_at": now,
    }  # fmt: skip
    ended = {"status": "completed", "attempt": 1, "conclusion": "success", "completed_at": now}
    waits = {"status": "queued", "attempt": 0, "conclusion": None, "completed_at": None}
    rows = []
    for number in range(HISTORY + OTHERS):
        over = number < HISTORY
        lane = LANE if over else ["cartpole", f"c{number % 5}"]
        rows.append(
            {
                **job,
                **(ended if over else waits),
                "trigger_key": f"bench:{number}",
                "order_key": float(number),
                "labels": lane,
                "lane": ",".join(lane),
            }
        )
    with database.write() as session:
        for start in range(0, len(rows), 5000):
            session.execute(insert(Job), rows[start : start + 5000])
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def delays(database: Database, url: str, pipe: Connection) -> list[float]:
    """From the moment before a job is stored to its runner's answer [s], one job at a time."""
    found = []
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as notices:
        for number in range(JOBS):
            request = queue.JobRequest(
                repository_id=1, trigger="push", trigger_key=f"b:{secrets.token_hex(8)}", requested_by="a",
                sha="5" * 40, ref="main", config={"version": 1}, labels=LANE, timeout_s=10.0,
                owner=f"owner-{number % 20}",
            )  # fmt: skip
            began = time.time()
            with database.write() as session:
                queue.submit(session, request)
            notices.execute("SELECT pg_notify('raas', 'bench:queue')")
            if not pipe.poll(60):
                raise RuntimeError("no runner got the job within a minute")
            _, when = pipe.recv()
            found.append(when - began)
            time.sleep(PAUSE_S)
    return sorted(found)


def memory_kib(pid: int) -> int:
    """Resident memory of the server's workers."""
    return sum(
        int(line.split()[1])
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for line in Path(f"/proc/{child}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


def wait_until_all_wait(database: Database) -> None:
    """Until each runner has been heard of."""
    while True:
        with database.read() as session:
            if not session.query(Runner).filter(Runner.seen_at.is_(None)).count():
                return
        time.sleep(0.2)


def main() -> None:
    """Measure."""
    allow_many_files()
    report = Report("idle_runners")
    cluster = pg.Cluster()
    url = cluster.database()
    database = Database(url)
    database.upgrade()
    names = add_runners(database)
    server = ServerProcess(Path(tempfile.mkdtemp()) / "data", DATABASE_URL=url, WORKERS="1")
    here, there = multiprocessing.Pipe()
    crowd = multiprocessing.get_context("spawn").Process(target=runners, args=(server.url, names, there))
    try:
        process = server.start()
        before = memory_kib(process.pid)
        crowd.start()
        wait_until_all_wait(database)
        time.sleep(2)
        report.add(
            "memory of an idle runner on the server, KiB",
            (memory_kib(process.pid) - before) / RUNNERS,
        )
        _tell(report, "", delays(database, url, here))
        fill(database)
        _tell(report, f", {HISTORY:,} jobs of history, {OTHERS:,} queued", delays(database, url, here))
    finally:
        crowd.terminate()
        crowd.join()
        server.close()
        database.close()
        cluster.close()
    report.close()


def _tell(report: Report, when: str, found: list[float]) -> None:
    p99 = found[int(len(found) * 0.99) - 1]
    report.add(f"job stored to claimed with {RUNNERS:,} idle runners, median s{when}", median(found))
    report.add(f"the same, p99 s{when}", p99, bar="< 0.25 s", met=p99 < BAR_S)


if __name__ == "__main__":
    main()
