"""100 MB of artifacts from a runner to an S3, beside plain boto3 with the same files and the same S3.

Ours is the whole way: digests, the offer, presigned PUTs past the server, the confirmation of what arrived.
Real server process, real S3 (`rclone serve s3`), the runner's own code.

How the server looks at a file depends on the store. One that checks uploads itself is asked for its verdict.
rclone's does not: uploads are closed, and large files are read afterwards, when the runner does other things.
That time is measured too, and boto3 begins only after it. To measure the other way, the server is shown an
S3 that checks (`tests.checking_store`), while the files themselves go to rclone past it; rclone is told not
to read a whole file for each question about it, for Amazon's does not either.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import boto3  # type: ignore[import-untyped]
from sqlalchemy import select

from github_app import moves, queue, tokens
from github_app.db import Database
from github_app.models import Artifact, Repository
from runner import artifacts
from runner.client import Client
from runner.protocol import Claim, RobotReport
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import s3_server
from checking_store import checking
from server_process import ServerProcess

TOTAL = 100 << 20
SHAPES = {"1 file": 1, "20 files": 20}
STORES = {"checked by the store": True, "closed, read later": False}
ROUNDS = 5
ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)


def make_files(folder: Path, count: int) -> None:
    """Files of random bytes, `TOTAL` together."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:02}.bin").write_bytes(os.urandom(TOTAL // count))


def plain(address: str, folder: Path) -> float:
    """Seconds that boto3's own `upload_file` takes for the folder, one after the other."""
    client = boto3.client("s3", "us-east-1", endpoint_url=address)
    prefix = secrets.token_hex(4)
    began = time.perf_counter()
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), "bucket", f"plain/{prefix}/{path.name}")
    return time.perf_counter() - began


class Desk:
    """A server and a registered runner that takes job after job."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._db = Database(f"sqlite:///{server.environment['RAAS_DATA_DIR']}/raas.sqlite3")
        with self._db.write() as session:
            session.add(
                Repository(id=1, installation_id=1, owner="a", name="b", private=False, default_branch="main")
            )
            token = tokens.invite(session, "goose", (), moves.utc_now())
        registered = Client(server.url).register(token)
        self._client = Client(server.url, registered.token, threading.Event())

    def upload(self, folder: Path) -> tuple[float, float]:
        """Seconds from files on disk to their confirmation, and until all were read; for a new job."""
        with self._db.write() as session:
            key = secrets.token_hex(8)
            queue.submit(
                session,
                queue.JobRequest(1, "push", key, "a", "5" * 40, "main", {"version": 1}, ["pendulum"], 60),
            )
        claimed = self._client.claim(Claim(key=secrets.token_hex(16), wait_s=20, robot=ROBOT, software="1"))
        assert claimed is not None
        job = claimed.job
        self._client.running(job.id, job.fence, 30)
        began = time.perf_counter()
        artifacts.upload(self._client, job.id, job.fence, folder)
        confirmed = time.perf_counter() - began
        while self._unread():
            time.sleep(0.01)
        return confirmed, time.perf_counter() - began

    def _unread(self) -> bool:
        waiting = select(Artifact.id).where(Artifact.stored_at.is_not(None), Artifact.verified_at.is_(None))
        with self._db.read() as session:
            return session.scalar(waiting.limit(1)) is not None

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
        self._db.close()


def measure(report: Report, checks: bool, name: str, scratch: Path) -> None:
    """Both in turn, median of five each."""
    with ExitStack() as running:
        options = ["--etag-hash", ""] if checks else []
        address = running.enter_context(s3_server.serve(scratch / f"s3-{checks}", *options))
        settings = s3_server.settings(address)
        if checks:
            settings["S3_PUBLIC_ENDPOINT_URL"] = address
            settings["S3_ENDPOINT_URL"] = running.enter_context(checking(address))
        server = ServerProcess(scratch / f"data-{checks}", **settings, LEASE_S="600")
        running.callback(server.close)
        server.start()
        desk = Desk(server)
        running.callback(desk.close)
        for shape, count in SHAPES.items():
            folder = scratch / f"files-{count}"
            if not folder.exists():
                make_files(folder, count)
            rounds = [(*desk.upload(folder), plain(address, folder)) for _ in range(ROUNDS)]
            ours, read, peer = (median(column) for column in zip(*rounds, strict=True))
            what = f"100 MB of artifacts, {shape}, {name} [s]"
            met = ours <= 1.3 * peer
            report.add(what, ours, peer=peer, peer_name="boto3", bar="<= 1.3x", met=met)
            if not checks:
                report.add(
                    f"the same until the server has read them, {shape} [s]",
                    read,
                    peer=peer,
                    peer_name="boto3",
                )


def main() -> None:
    """Over both kinds of store."""
    report = Report("upload")
    os.environ |= s3_server.CREDENTIALS
    with tempfile.TemporaryDirectory() as scratch:
        for name, checks in STORES.items():
            measure(report, checks, name, Path(scratch))
    report.close()


if __name__ == "__main__":
    main()
