"""Real servers on one database, and a runner and readers that use any of them."""

from __future__ import annotations

import base64
import http.client
import random
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from server_process import ServerProcess
from server_world import ROBOT, add_repository
from sse import Reader, Stream

from github_app import moves, tokens
from github_app.db import Database
from github_app.models import Job
from runner.protocol import PREFIX


@dataclass
class LiveWorld:
    """Servers, and whom they serve.

    Attributes:
        servers: One on SQLite, two on PostgreSQL.
        database: The same, from outside.
    """

    servers: list[ServerProcess]
    database: Database
    token: str = ""
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def start(self) -> None:
        """All servers, and a runner's registration."""
        for server in self.servers:
            server.start()
        add_repository(self.database)
        with self.database.write() as session:
            invitation = tokens.invite(session, "goose", [], moves.utc_now())
        self.token = self.post("register", token=invitation, software="1").json()["token"]

    def post(self, path: str, server: ServerProcess | None = None, **body: Any) -> requests.Response:
        """A runner's call, to any server, until there is an answer."""
        headers = {"RAAS-Protocol": "1", "Authorization": f"Bearer {self.token}"}
        deadline = time.monotonic() + 60
        while True:
            url = (server or self.random.choice(self.servers)).url
            try:
                answer = requests.post(f"{url}{PREFIX}/{path}", json=body, headers=headers, timeout=10)
                if answer.status_code < 500:
                    return answer
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, f"no answer to {path}"
            time.sleep(0.05)

    def claim(self) -> dict[str, Any]:
        """The next job, claimed."""
        answer = self.post("claim", key=secrets.token_hex(16), wait_s=5, robot=ROBOT, software="1")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def drain(self) -> None:
        """End every job that waits."""
        with self.database.read() as session:
            waiting = session.query(Job).filter_by(status="queued").count()
        for _ in range(waiting):
            job = self.claim()
            assert self.call(job, "finish", conclusion="failure", reason="not needed").status_code == 204

    def call(self, job: dict[str, Any], what: str, **body: Any) -> requests.Response:
        """A call about a claimed job."""
        return self.post(f"jobs/{job['id']}/{what}", fence=job["fence"], **body)

    def say(self, job: dict[str, Any], offset: int, data: bytes) -> None:
        """A heartbeat with a piece of log."""
        log = {"offset": offset, "data": base64.b64encode(data).decode()}
        assert self.call(job, "heartbeat", phase="running", log=log).status_code == 200

    def events(self, job_id: int, server: ServerProcess | None = None) -> str:
        """Where the job's stream is, at any server."""
        return f"{(server or self.random.choice(self.servers)).url}/api/v1/jobs/{job_id}/events"


def servers(data_dir: Path, database_url: str, **settings: str) -> list[ServerProcess]:
    """One server process on SQLite, two on PostgreSQL."""
    count = 1 if database_url.startswith("sqlite") else 2
    return [ServerProcess(data_dir, DATABASE_URL=database_url, WORKERS="1", **settings) for _ in range(count)]


class Spectator(threading.Thread):
    """Reads a job's stream to its end; hangs up after every few messages, and goes on at any server."""

    def __init__(self, world: LiveWorld, job_id: int, seed: int, *, patience: int) -> None:
        super().__init__(daemon=True)
        self.reader = Reader()
        self.connections = 0
        self._world, self._job_id, self._patience = world, job_id, patience
        self._random = random.Random(seed)

    def run(self) -> None:
        deadline = time.monotonic() + 90
        while self.reader.ended is None and time.monotonic() < deadline:
            try:
                self._read(self._random.randint(1, self._patience))
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.05)

    def _read(self, messages: int) -> None:
        server = self._random.choice(self._world.servers)
        with Stream(self._world.events(self._job_id, server), self.reader.last_id, timeout_s=20) as stream:
            self.connections += 1
            if stream.status != 200:
                time.sleep(0.1)
                return
            for count, message in enumerate(stream, 1):
                self.reader.hear(message)
                if count >= messages:
                    return
