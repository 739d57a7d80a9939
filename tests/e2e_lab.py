"""A running stack, and what the end-to-end tests ask of it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import requests

from demo.processes import wait_until
from demo.stack import Stack

FAST = {"RAAS_LEASE_S": "4", "RAAS_HEARTBEAT_S": "0.5"}
"""A short lease, so that a lost runner is noticed within a test's patience."""
STEPPING = """\
import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range({steps}):
    env.step([1.0])
print("stepped {steps} times")
env.close()
"""


@dataclass
class Lab:
    """A running stack, and what the tests ask of it.

    Attributes:
        stack: The processes.
        owner: A user who owns the repositories the tests make.
    """

    stack: Stack
    owner: str = "ada"
    _numbers: Iterator[int] = field(default_factory=count)

    def repository(self, files: dict[str, str] | None = None, *, private: bool = False) -> tuple[str, str]:
        """A new repository with the App installed, and the commit pushed to it (or "")."""
        name = f"{self.owner}/lab-{next(self._numbers)}"
        world = self.stack.world
        world.user(self.owner)
        world.repository(name, private=private)
        world.install(self.stack.app.id, name)
        return name, world.push(name, files, user=self.owner) if files else ""

    def check_runs(self, name: str, sha: str) -> list[dict[str, Any]]:
        """The App's check runs at a commit, as GitHub shows them."""
        return self.stack.world.check_runs(name, sha, app_id=self.stack.app.id)

    def finished(self, name: str, sha: str, number: int = 1, timeout_s: float = 60) -> list[dict[str, Any]]:
        """The check runs at a commit, once there are `number` and all are completed."""

        def done() -> bool:
            runs = self.check_runs(name, sha)
            return len(runs) >= number and all(run["status"] == "completed" for run in runs)

        wait_until(done, timeout_s, f"{number} finished check run(s) at {name} {sha[:7]}", 0.2)
        return self.check_runs(name, sha)

    def job(self, run: dict[str, Any]) -> dict[str, Any]:
        """The public JSON of the job behind a check run."""
        answer = requests.get(f"{self.stack.url}/api/v1/jobs/{run['external_id']}", timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def jobs(self) -> list[dict[str, Any]]:
        """All public jobs, newest first."""
        answer = requests.get(f"{self.stack.url}/api/v1/jobs", timeout=10)
        answer.raise_for_status()
        return list(answer.json()["jobs"])

    def status(self, run: dict[str, Any]) -> str:
        """Where exactly the job stands."""
        return str(self.job(run)["step"])

    def settled(self) -> None:
        """Every webhook so far is delivered and has become what it becomes."""
        self.stack.world.settle()
        wait_until(self._triggers_idle, 20, "the server to work through its deliveries")

    def _triggers_idle(self) -> bool:
        with sqlite3.connect(self.stack.data / "server" / "raas.sqlite3") as database:
            waiting = database.execute("SELECT count(*) FROM deliveries WHERE processed_at IS NULL")
            return int(waiting.fetchone()[0]) == 0

    def wait_for_reply(self, name: str, number: int, words: str) -> None:
        """The App's answer on a pull request that holds `words`."""

        def answered() -> bool:
            bodies = [one["body"] for one in self.stack.world.comments(name, number)[1:]]
            return any(words in body for body in bodies)

        wait_until(answered, 20, f"a reply with {words!r}")

    def sessions(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """Each session that was ever opened of the job behind a check run, from the controller's ledger."""
        lines = (self.stack.data / "controller" / "ledger.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry["job"] == int(run["external_id"])]

    def leftovers(self) -> list[str]:
        """Names of our runner's containers and volumes that exist at this moment."""
        owner = (self.stack.data / "runner" / "owner").read_text().strip()
        label = f"label=raas.owner={owner}"
        containers = ["docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}"]
        volumes = ["docker", "volume", "ls", "--quiet", "--filter", label]
        outputs = [
            subprocess.run(c, capture_output=True, text=True, check=True) for c in (containers, volumes)
        ]
        return [name for output in outputs for name in output.stdout.split()]


def running(data: Path, settings: dict[str, str]) -> Iterator[Lab]:
    """A lab, for as long as its user wants it."""
    stack = Stack(data, settings, conformance=True)
    try:
        stack.start()
        yield Lab(stack)
        assert stack.world.violations() == []
    finally:
        stack.stop()
