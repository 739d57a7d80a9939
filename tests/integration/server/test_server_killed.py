"""A real server is killed with -9 while runners and GitHub talk to it: nothing is lost or done twice."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from server_process import WEBHOOK_SECRET, ServerProcess
from server_world import ROBOT, add_repository, submit
from sqlalchemy import select

from demo.processes import wait_until
from github_app import joblog, models, moves, tokens
from github_app.db import Database
from github_app.models import Delivery, Job, JobEvent
from runner.protocol import PREFIX, WAIT_MAX_S

LEASE_S = 10.0
KILLS = ("all", "worker", "master", "all")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Iterator[ServerProcess]:
    process = ServerProcess(
        tmp_path / "data",
        DATABASE_URL=database_url,
        LEASE_S=str(LEASE_S),
        HEARTBEAT_S="0.5",
        WORKERS="1" if database_url.startswith("sqlite") else "2",
    )
    yield process
    process.close()


class Runner(threading.Thread):
    """Does what the contract obliges a runner to, through whatever happens to the server."""

    def __init__(self, url: str, token: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url, self.stop = url, stop
        self.headers = {"RAAS-Protocol": "1", "Authorization": f"Bearer {token}"}
        self.moved: Counter[int] = Counter()
        self.errors: list[str] = []

    def run(self) -> None:
        while not self.stop.is_set():
            key = secrets.token_hex(16)
            answer = self.post("claim", key=key, wait_s=1.0, robot=ROBOT, software="1")
            if answer is not None and answer.status_code == 200:
                self.serve(answer.json())

    def serve(self, job: dict[str, Any]) -> None:
        if not self.call(job, "heartbeat", phase="preparing") or not self.call(job, "running"):
            return
        self.moved[job["id"]] += 1
        for number in range(3):
            line = {"offset": 7 * number, "data": base64.b64encode(b"line %d\n" % number).decode()}
            self.call(job, "heartbeat", phase="running", log=line)
            time.sleep(random.uniform(0, 0.1))
        self.call(job, "finish", conclusion="success", reason="done")

    def call(self, job: dict[str, Any], what: str, **body: Any) -> bool:
        answer = self.post(f"jobs/{job['id']}/{what}", fence=job["fence"], **body)
        if answer is not None and answer.status_code >= 400:
            self.errors.append(f"{what}: {answer.text}")
        return answer is not None and answer.ok

    def post(self, path: str, **body: Any) -> requests.Response | None:
        """Repeat until there is an answer."""
        while not self.stop.is_set():
            try:
                answer = requests.post(
                    f"{self.url}{PREFIX}/{path}", json=body, headers=self.headers, timeout=10
                )
            except requests.RequestException:
                time.sleep(0.05)
                continue
            if answer.status_code != 503:
                return answer
            time.sleep(0.05)
        return None


def deliver(url: str, guid: str) -> bool:
    """A webhook as GitHub sends it; whether it was acknowledged."""
    body = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1, "guid": guid}).encode()
    signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": guid,
        "Content-Type": "application/json",
    }
    try:
        return (
            requests.post(f"{url}/webhooks/github", data=body, headers=headers, timeout=5).status_code == 202
        )
    except requests.RequestException:
        return False


def invite(database: Database, url: str, name: str) -> str:
    with database.write() as session:
        invitation = tokens.invite(session, name, [], moves.utc_now())
    answer = requests.post(
        f"{url}{PREFIX}/register",
        json={"token": invitation, "software": "1"},
        headers={"RAAS-Protocol": "1"},
        timeout=10,
    )
    token: str = answer.json()["token"]
    return token


def test_nothing_is_lost_and_nothing_happens_twice(server: ServerProcess, database: Database) -> None:
    server.start()
    add_repository(database)
    stop = threading.Event()
    runners = [
        Runner(server.url, invite(database, server.url, name), stop) for name in ("goose", "duck", "swan")
    ]
    for runner in runners:
        runner.start()
    acknowledged: list[str] = []
    jobs: list[int] = []
    random.seed(1)
    for whom in KILLS:
        until = time.monotonic() + random.uniform(1.0, 2.0)
        while time.monotonic() < until:
            jobs.append(submit(database))
            guid = secrets.token_hex(8)
            if deliver(server.url, guid):
                acknowledged.append(guid)
            time.sleep(0.02)
        server.kill(whom)
        if whom != "worker":
            server.start(ready=False)
        server.wait_ready()
    wait_until_done(database, jobs)
    stop.set()
    for runner in runners:
        runner.join(30)
    with database.read() as session:
        stored = Counter(session.scalars(select(Delivery.guid)))
    assert all(stored[guid] == 1 for guid in acknowledged)
    assert [runner.errors for runner in runners] == [[], [], []]
    moved = sum((runner.moved for runner in runners), Counter[int]())
    for job_id in jobs:
        check_history(database, job_id)
        assert moved[job_id] == 1, f"job {job_id} moved a robot {moved[job_id]} times"


def wait_until_done(database: Database, jobs: list[int]) -> None:
    deadline = time.monotonic() + 120
    while True:
        with database.read() as session:
            open_jobs = set(session.scalars(select(Job.id).where(Job.status != "completed")))
        if not open_jobs & set(jobs):
            return
        assert time.monotonic() < deadline, f"jobs {sorted(open_jobs)} are stuck"
        time.sleep(0.1)


def check_history(database: Database, job_id: int) -> None:
    with database.read() as session:
        job = session.get_one(Job, job_id)
        history = list(
            session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
        )
        log = joblog.read(session, job)
    kinds = [event.kind for event in history]
    assert kinds[0] == "queued"
    assert kinds[-1] == "finished"
    assert kinds.count("running") == kinds.count("finished") == 1
    assert kinds.count("claimed") == job.attempt == 1 + kinds.count("lease_lost")
    assert job.latest_event == history[-1].id
    assert job.conclusion == "success"
    assert log == b"line 0\nline 1\nline 2\n"


def test_a_claim_whose_answer_was_lost_is_given_again(server: ServerProcess, database: Database) -> None:
    server.start()
    add_repository(database)
    token = invite(database, server.url, "goose")
    job_id = submit(database)
    runner = Runner(server.url, token, threading.Event())
    wish = {"key": secrets.token_hex(16), "wait_s": 0, "robot": ROBOT, "software": "1"}
    first = runner.post("claim", **wish)
    server.kill()
    server.start()
    second = runner.post("claim", **wish)
    assert first is not None
    assert second is not None
    assert second.json() == first.json()
    runner.serve(second.json())
    check_history(database, job_id)


def test_a_file_whose_upload_was_cut_by_the_kill_arrives_whole_and_leaves_no_part(
    server: ServerProcess, database: Database
) -> None:
    server.start()
    add_repository(database)
    submit(database)
    runner = Runner(server.url, invite(database, server.url, "goose"), threading.Event())
    wish = {"key": secrets.token_hex(16), "wait_s": 0, "robot": ROBOT, "software": "1"}
    job = called(runner.post("claim", **wish))
    data = secrets.token_bytes(100_000)
    file = {"name": "log.txt", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert runner.call(job, "running")
    store = Path(server.environment["RAAS_DATA_DIR"]) / "artifacts"

    def pieces() -> Iterator[bytes]:
        yield data[:70_000]
        while not list(store.rglob("*.partial")):
            time.sleep(0.01)
        server.kill()
        yield data[70_000:]

    grants = called(runner.post(f"jobs/{job['id']}/artifacts", fence=job["fence"], files=[file]))
    with pytest.raises(requests.RequestException):
        requests.put(grants["files"][0]["upload"]["url"], data=pieces(), timeout=10)
    server.start()
    granted = called(runner.post(f"jobs/{job['id']}/artifacts", fence=job["fence"], files=[file]))["files"][0]
    assert requests.put(granted["upload"]["url"], data=data, timeout=10).ok
    assert runner.call(job, f"artifacts/{granted['id']}/stored")
    assert list(store.rglob("*.partial")) == []
    assert data in [path.read_bytes() for path in store.rglob("*") if path.is_file()]


def called(answer: requests.Response | None) -> dict[str, Any]:
    assert answer is not None
    found: dict[str, Any] = answer.json()
    return found


def test_sigterm_answers_those_who_wait_and_ends(server: ServerProcess, database: Database) -> None:
    server.start()
    token = invite(database, server.url, "goose")
    wish = {"key": secrets.token_hex(16), "wait_s": WAIT_MAX_S, "robot": ROBOT, "software": "1"}
    answers: list[requests.Response] = []

    def claim() -> None:
        headers = {"RAAS-Protocol": "1", "Authorization": f"Bearer {token}"}
        url = f"{server.url}{PREFIX}/claim"
        answers.append(requests.post(url, json=wish, headers=headers, timeout=WAIT_MAX_S + 20))

    waiting = threading.Thread(target=claim)
    waiting.start()
    wait_until(lambda: noted(database, "goose"), 30, "the runner to ask for a job")
    assert server.stop() == 0
    waiting.join(WAIT_MAX_S / 2)
    assert [answer.status_code for answer in answers] == [204]


def noted(database: Database, name: str) -> bool:
    """Whether a runner has said what its robot is, as it does when it asks for a job."""
    with database.read() as session:
        return session.query(models.Runner).filter_by(name=name).one().robot is not None
