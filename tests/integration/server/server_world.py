"""What tests do with a server: put in jobs, be a runner, look at the outcome."""

from __future__ import annotations

import base64
import hashlib
import itertools
import secrets
from collections.abc import Callable
from typing import Any

import requests
from flask import Flask
from werkzeug.test import TestResponse

from github_app import moves, queue, services, tokens
from github_app.config import Settings
from github_app.db import Database
from github_app.models import Job, JobEvent, Repository
from runner.protocol import PREFIX

MakeSettings = Callable[..., Settings]
"""Settings with a data directory of their own; names without their `RAAS_`."""

SHA = "5" * 40
ROBOT = {
    "kind": "pendulum",
    "plant": "simulated",
    "env_ids": ["RaasPendulum-v1"],
    "healthy": True,
    "passport": "simulated",
}

_numbers = itertools.count(1)


def add_repository(database: Database, *, private: bool = False, number: int = 1) -> int:
    """A repository the App is installed on; its id."""
    with database.write() as session:
        session.merge(
            Repository(
                id=number,
                installation_id=1,
                owner="alice",
                name=f"pendulum-{number}",
                private=private,
                default_branch="main",
            )
        )
    return number


def job_request(repository_id: int = 1, **fields: Any) -> queue.JobRequest:
    """A request for a job, different from all others."""
    defaults: dict[str, Any] = {
        "repository_id": repository_id,
        "trigger": "push",
        "trigger_key": f"test:{next(_numbers)}",
        "requested_by": "alice",
        "sha": SHA,
        "ref": "main",
        "config": {"version": 1},
        "labels": ["pendulum"],
        "timeout_s": 120.0,
    }
    return queue.JobRequest(**(defaults | fields))


def submit(database: Database, **fields: Any) -> int:
    """A job in the queue; its number."""
    with database.write() as session:
        return queue.submit(session, job_request(**fields)).id


def events(database: Database, job_id: int) -> list[str]:
    """What happened to a job."""
    with database.read() as session:
        rows = session.query(JobEvent).filter_by(job_id=job_id).order_by(JobEvent.id)
        return [row.kind for row in rows]


class World:
    """An application and its means."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.services = services.of(app)
        self.database = self.services.db
        self.repository = add_repository(self.database)

    def submit(self, **fields: Any) -> int:
        """A job in the queue; its number."""
        return submit(self.database, **{"repository_id": self.repository, **fields})

    def job(self, job_id: int) -> Job:
        """The job as it is now."""
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def events(self, job_id: int) -> list[str]:
        """What happened to a job."""
        return events(self.database, job_id)

    def cancel(self, job_id: int) -> None:
        """As a person does."""
        with self.database.write() as session:
            queue.cancel(session, job_id, "changed my mind", by="alice")

    def invite(self, name: str, *labels: str) -> str:
        """A one-time token."""
        with self.database.write() as session:
            return tokens.invite(session, name, labels, moves.utc_now())

    def robot(self, name: str = "goose", *labels: str) -> Robot:
        """A registered runner."""
        invitation = self.invite(name, *labels)
        robot = Robot(self.app, "")
        answer = robot.post("register", token=invitation, software="1").get_json()
        return Robot(self.app, answer["token"])


class Robot:
    """A runner, call by call."""

    def __init__(self, app: Flask, token: str) -> None:
        self.client = app.test_client()
        self.headers = {"RAAS-Protocol": "1", "Authorization": f"Bearer {token}"}

    def post(self, path: str, **body: Any) -> TestResponse:
        """One call."""
        return self.client.post(f"{PREFIX}/{path}", json=body, headers=self.headers)

    def claim(self, *, key: str | None = None, wait_s: float = 0.0, **robot: Any) -> TestResponse:
        """Ask for a job."""
        key = key or secrets.token_hex(16)
        return self.post("claim", key=key, wait_s=wait_s, robot=ROBOT | robot, software="1")

    def call(self, job: dict[str, Any], what: str, **body: Any) -> TestResponse:
        """A call about a claimed job."""
        return self.post(f"jobs/{job['id']}/{what}", fence=job["fence"], **body)

    def running_job(self) -> dict[str, Any]:
        """Claim the next job and start it."""
        job: dict[str, Any] = self.claim().get_json()
        assert self.call(job, "running").status_code == 204
        return job


def piece(offset: int, data: bytes) -> dict[str, Any]:
    """A piece of log."""
    return {"offset": offset, "data": base64.b64encode(data).decode()}


def offer_of(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def put(world: World, upload: dict[str, Any], data: bytes) -> int:
    """PUT as a runner does, to wherever it was told; the answer's status."""
    url, headers = upload["url"], dict(upload["headers"])
    if url.startswith("http://raas.test/"):
        headers.pop("Content-Length")
        return (
            world.app.test_client()
            .put(url.removeprefix("http://raas.test"), data=data, headers=headers)
            .status_code
        )
    headers["Content-Length"] = str(len(data))
    try:
        return requests.put(url, data=data, headers=headers, timeout=10).status_code
    except requests.ConnectionError:
        return 0  # a server that refuses by the headers may hang up before it has read the rest


def session_result(**changes: Any) -> dict[str, Any]:
    """What a controller says of a session that went well."""
    said = {
        "number": 0,
        "reason": "done",
        "message": "",
        "steps": 400,
        "ticks": 400,
        "episodes": 1,
        "late": 0,
    }
    return {**said, "duration_s": 20.0, "scores": {}, "robot": "goose", "passport": "simulated", **changes}


def upload(world: World, robot: Robot, job: dict[str, Any], name: str, data: bytes) -> None:
    grant = robot.call(job, "artifacts", files=[offer_of(name, data)]).get_json()["files"][0]
    assert put(world, grant["upload"], data) in {200, 204}
    assert robot.call(job, f"artifacts/{grant['id']}/stored").status_code == 204
