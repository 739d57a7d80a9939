"""Two thousand idle runners on one server: what each costs, and how soon a push reaches one of them.

One server process as `raas-server serve` runs it, on PostgreSQL, the stand-in for GitHub, from which it reads
the repository's files, and a process of its own for the runners, which long-poll over a connection each
(`crowd`). The clock starts before a push's signed webhook is sent to the server, and stops when a runner has
the answer to its claim. All share this machine's cores. First with an empty database, then with 100,000 jobs
of history and 10,000 queued for robots that are not here (`bench_history`). `--runners` and `--jobs` make it
smaller.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import multiprocessing
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import requests
from sqlalchemy import insert

from demo.processes import end_with_parent, wait_until
from demo.stack import Stack
from github_app import tokens
from github_app.db import Database
from github_app.models import Runner
from github_app.moves import utc_now
from tests.bench import bench_history, crowd
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import postgres as pg

RUNNERS = 2000
JOBS = 200
PAUSE_S = 0.05
IDLE_S = 25.0
"""How long the server is watched while nothing happens."""
BAR_S = 0.25
WAIT_S = 50
OWNER, NAME = "ada", "ada/spoon"
FILES = {".raas.yml": "version: 1\nrobot: pendulum\n", "run.py": "print('hello')\n"}


@dataclass(frozen=True)
class Pushes:
    """A repository with many commits on the stand-in, and what a webhook about one says."""

    stack: Stack
    repository: int
    installation: int
    commits: list[str]

    def announce(self, sha: str) -> None:
        """Send the server a push, as GitHub does."""
        owner, name = NAME.split("/")
        said = {
            "ref": "refs/heads/main",
            "deleted": False,
            "head_commit": {"id": sha, "message": "Change"},
            "repository": {
                "id": self.repository,
                "name": name,
                "owner": {"login": owner},
                "private": False,
                "default_branch": "main",
            },
            "installation": {"id": self.installation},
            "sender": {"login": owner, "type": "User"},
        }
        body = json.dumps(said).encode()
        secret = self.stack.app.webhook_secret.encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
        }
        answer = requests.post(f"{self.stack.url}/webhooks/github", data=body, headers=headers, timeout=30)
        answer.raise_for_status()


def allow_many_files() -> None:
    """Each runner holds a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def runners(url: str, names: list[str], pipe: Connection, polls: Any) -> None:
    """A process of runners: each waits, says when it got which job, gives it back as finished, and waits."""
    end_with_parent()
    allow_many_files()
    crowd.run(url, names, WAIT_S, pipe, polls)


def add_runners(database: Database, count: int) -> list[str]:
    """Registered runners; their tokens."""
    found = [secrets.token_urlsafe(32) for _ in range(count)]
    now = utc_now()
    rows = [
        {"name": f"r{number}", "labels": [], "token_hash": tokens.digest(token), "created_at": now}
        for number, token in enumerate(found)
    ]
    with database.write() as session:
        session.execute(insert(Runner), rows)
    return found


def prepare(stack: Stack, count: int) -> Pushes:
    """Push many commits before the App is installed, so that the stand-in announces none of them."""
    world = stack.world
    world.user(OWNER)
    repository = int(world.repository(NAME)["id"])
    world.push(NAME, FILES, user=OWNER)
    with tempfile.TemporaryDirectory() as folder:
        _git(folder, "clone", "--quiet", world.clone_url(NAME, OWNER), ".")
        author = ("-c", f"user.name={OWNER}", "-c", f"user.email={OWNER}@users.noreply.github.localhost")
        for number in range(count):
            _git(folder, *author, "commit", "--quiet", "--allow-empty", "-m", f"{number}")
        _git(folder, "push", "--quiet", "origin", "HEAD:main")
        commits = _git(folder, "rev-list", f"--max-count={count}", "HEAD").split()
    return Pushes(stack, repository, world.install(stack.app.id, NAME), commits)


def _git(folder: str, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def delays(pushes: Pushes, commits: Sequence[str], pipe: Connection) -> list[float]:
    """From the moment before a webhook is sent to its runner's answer [s], one job at a time."""
    found = []
    for sha in commits:
        began = time.time()
        pushes.announce(sha)
        if not pipe.poll(60):
            raise RuntimeError("no runner got the job within a minute")
        got, when = pipe.recv()
        assert got == sha
        found.append(when - began)
        time.sleep(PAUSE_S)
    return found


def children(pid: int) -> list[int]:
    """Numbers of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory_kib(pid: int) -> int:
    """Resident memory of the server's workers."""
    return sum(
        int(line.split()[1])
        for child in children(pid)
        for line in Path(f"/proc/{child}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


def cpu_s(pid: int) -> float:
    """CPU time that a process's living children have used [s]."""
    ticks = 0
    for child in children(pid):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def heard_of(database: Database) -> int:
    """How many runners have asked for a job."""
    with database.read() as session:
        return session.query(Runner).filter(Runner.seen_at.is_not(None)).count()


def measure(
    report: Report, stack: Stack, database: Database, cluster: pg.Cluster, many: argparse.Namespace
) -> None:
    """Both runs, on a started server."""
    pushes = prepare(stack, 2 * many.jobs)
    names = add_runners(database, many.runners)
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    polls = context.Value("q", 0, lock=False)
    process = context.Process(target=runners, args=(stack.url, names, there, polls), daemon=True)
    server, postgres = stack.processes["server"].pid, cluster.pid
    before = memory_kib(server)
    process.start()
    try:
        wait_until(lambda: heard_of(database) == many.runners, 180, "all runners")
        report.add(
            "memory of an idle runner on the server, KiB", (memory_kib(server) - before) / many.runners
        )
        tell(report, many.runners, "", delays(pushes, pushes.commits[: many.jobs], here), database)
        bench_history.fill(database)
        what = f", {bench_history.ENDED:,} jobs of history, {bench_history.QUEUED:,} queued"
        tell(report, many.runners, what, delays(pushes, pushes.commits[many.jobs :], here), database)
        asked, ours, theirs = polls.value, cpu_s(server), cpu_s(postgres)
        time.sleep(IDLE_S)
        asked = max(1, polls.value - asked)
        report.add("CPU of an idle poll, server, ms", 1000 * (cpu_s(server) - ours) / asked)
        report.add("CPU of an idle poll, PostgreSQL, ms", 1000 * (cpu_s(postgres) - theirs) / asked)
        report.add("polls while idle, 1/s", asked / IDLE_S)
    finally:
        process.terminate()
        process.join()


PARTS = """
    SELECT extract(epoch FROM created_at - received_at), extract(epoch FROM claimed_at - created_at)
    FROM jobs JOIN deliveries ON deliveries.id = announced_by ORDER BY jobs.id DESC LIMIT %s
"""


def tell(report: Report, count: int, when: str, found: Sequence[float], database: Database) -> None:
    """Median and 99th percentile, and the medians of the parts."""
    in_order = sorted(found)
    p99 = in_order[int(len(in_order) * 0.99) - 1]
    with psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        parts = connection.execute(PARTS, (len(found),)).fetchall()
    report.add("webhook stored to job queued, median s", float(median(part[0] for part in parts)))
    report.add("job queued to claimed, median s", float(median(part[1] for part in parts)))
    report.add(f"webhook to claim with {count:,} idle runners, median s{when}", median(found))
    report.add(f"the same, p99 s{when}", p99, bar="< 0.25 s", met=p99 < BAR_S)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="Webhook to claim with many idle runners.")
    parser.add_argument("--runners", type=int, default=RUNNERS)
    parser.add_argument("--jobs", type=int, default=JOBS)
    many = parser.parse_args()
    allow_many_files()
    report = Report("idle_runners")
    cluster = pg.Cluster()
    url = cluster.database()
    database = Database(url)
    try:
        with tempfile.TemporaryDirectory() as folder:
            stack = Stack(Path(folder), {"RAAS_DATABASE_URL": url, "RAAS_WORKERS": "1"})
            try:
                stack.start_github()
                stack.make_app()
                stack.start_server()
                measure(report, stack, database, cluster, many)
            finally:
                stack.stop()
    finally:
        database.close()
        cluster.close()
    report.close()


if __name__ == "__main__":
    main()
