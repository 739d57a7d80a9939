"""What tests do with a running stack: push jobs, watch them, kill parts, look at what was left behind."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import requests

from demo.processes import wait_until
from demo.stack import Stack
from github_app import queue
from github_app.db import Database

FAST = {"RAAS_LEASE_S": "6", "RAAS_HEARTBEAT_S": "0.5"}
PATIENT = FAST | {"RAAS_LEASE_S": "60"}
"""No lease runs out while a slow machine starts a runner."""
STEPPING = """\
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
for number in range({steps}):
    env.step([1.0])
    print("step", number)
open("/artifacts/mine.txt", "w").write("mine")
env.close()
"""


class Lab:
    """A running stack and its jobs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._numbers = count()

    def push(self, code: str, more: dict[str, str] | None = None) -> str:
        name = f"ada/runner-{next(self._numbers)}"
        self.stack.world.user("ada")
        self.stack.world.repository(name)
        self.stack.world.install(self.stack.app.id, name)
        self.stack.world.push(name, {"run.py": code, **(more or {})}, user="ada")
        wait_until(lambda: self._newest(name) is not None, 20, "the job to be there")
        return str((self._newest(name) or {})["id"])

    def _newest(self, name: str) -> dict[str, Any] | None:
        jobs = requests.get(f"{self.stack.url}/api/v1/jobs", timeout=10).json()["jobs"]
        return next((job for job in jobs if job["repository"] == name), None)

    def job(self, number: str) -> dict[str, Any]:
        answer = requests.get(f"{self.stack.url}/api/v1/jobs/{number}", timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def until(self, number: str, status: str, timeout_s: float = 60) -> dict[str, Any]:
        wait_until(lambda: self.job(number)["step"] == status, timeout_s, f"job {number} to be {status}")
        return self.job(number)

    def sessions(self, number: str) -> int:
        ledger = (self.stack.data / "controller" / "ledger.jsonl").read_text().splitlines()
        return sum(f'"job":{number},' in line.replace(" ", "") for line in ledger)

    def servers(self) -> set[str]:
        """Whose jobs the controller has run, by its ledger."""
        ledger = (self.stack.data / "controller" / "ledger.jsonl").read_text().splitlines()
        return {json.loads(line)["server"] for line in ledger}

    def server_id(self) -> str:
        with closing(sqlite3.connect(self.stack.data / "server" / "raas.sqlite3")) as database:
            question = "SELECT value FROM facts WHERE name = 'server_id'"
            return str(database.execute(question).fetchone()[0])

    def artifact(self, number: str, name: str) -> bytes:
        found = next(a for a in self.job(number)["artifacts"] if a["name"] == name)
        return requests.get(found["url"], timeout=10).content

    def names(self, number: str) -> list[str]:
        return sorted(artifact["name"] for artifact in self.job(number)["artifacts"])

    @property
    def runner(self) -> Any:
        return self.stack.processes["runner"]

    @property
    def data(self) -> Path:
        return self.stack.data / "runner"

    def phase(self, phase: str) -> bool:
        return any(f'"phase":"{phase}"' in place.read_text() for place in self.data.glob("jobs/*/job.json"))

    def last_poll(self) -> str:
        """When the server last saw the runner ask for a job."""
        with closing(sqlite3.connect(self.stack.data / "server" / "raas.sqlite3")) as database:
            return str(database.execute("SELECT seen_at FROM runners").fetchone()[0])

    def robot_says(self) -> str:
        """What the runner last reported of its robot."""
        with closing(sqlite3.connect(self.stack.data / "server" / "raas.sqlite3")) as database:
            return str(database.execute("SELECT robot FROM runners").fetchone()[0])

    def events(self, number: str) -> list[str]:
        """What happened to a job."""
        with closing(sqlite3.connect(self.stack.data / "server" / "raas.sqlite3")) as database:
            rows = database.execute("SELECT kind FROM job_events WHERE job_id = ? ORDER BY id", (number,))
            return [kind for (kind,) in rows]

    def log_of(self, number: str) -> bytes:
        """What the runner has of the job's output; nothing where it does not hold it."""
        return b"".join(log.read_bytes() for log in self.data.glob(f"jobs/{number}-*/log"))

    def stepping(self, number: str) -> None:
        """Wait until the program of the job has printed some steps."""
        (log,) = self.data.glob(f"jobs/{number}-*/log")
        wait_until(lambda: b"step 5" in log.read_bytes(), 20, "the program to step")

    def restart_runner(self) -> None:
        self.stack.start_runner()

    def left_behind(self) -> list[str]:
        owner = (self.data / "owner").read_text()
        found = []
        for what in ("ps -a", "volume ls"):
            command = ["docker", *what.split(), "-q", "--filter", f"label=raas.owner={owner}"]
            found += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return found + [str(place) for place in self.data.glob("jobs/*")]

    def cancel(self, number: str) -> None:
        """As a person does."""
        database = Database(f"sqlite:///{self.stack.data / 'server' / 'raas.sqlite3'}")
        with database.write() as session:
            queue.cancel(session, int(number), "ada cancelled it", by="ada")
        database.engine.dispose()

    def ask_for(self, number: str, sessions: int) -> None:
        """So many sessions, of a job that waits."""
        with closing(sqlite3.connect(self.stack.data / "server" / "raas.sqlite3")) as database, database:
            database.execute("UPDATE jobs SET sessions = ? WHERE id = ?", (sessions, number))

    def ready(self) -> None:
        """Everything that a test may have ended runs again."""
        if not self.runner.running:
            self.restart_runner()
        if not self.stack.processes["server"].running:
            self.stack.start_server()

    def tidy(self) -> None:
        """The runner leaves nothing behind."""
        if self.runner.running:
            wait_until(lambda: self.left_behind() == [], 20, "the runner to leave nothing behind")


@contextmanager
def running_lab(folder: Path, settings: dict[str, str]) -> Iterator[Lab]:
    """A stack of its own, stopped at the end."""
    stack = Stack(folder, settings)
    try:
        stack.start()
        yield Lab(stack)
    finally:
        stack.stop()
