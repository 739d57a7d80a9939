"""100 MB of artifacts from a runner to an S3, beside plain boto3 with the same files and the same S3.

Ours is the whole way: digests, the offer, presigned PUTs past the server, the server's check of what arrived,
the confirmation. Real server process, real S3 (`rclone serve s3`), the runner's own code.

How the server checks depends on the store. One that checks uploads itself is asked for its verdict. rclone's
does not, so that each file is copied and read once more; to measure the other way too, the server is shown an
S3 that does (`tests.checking_store`), while the files themselves go to rclone past it.
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

from github_app import moves, queue, tokens
from github_app.db import Database
from github_app.models import Repository
from runner import artifacts
from runner.client import Client
from runner.protocol import Claim, RobotReport
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration" / "server"))
import s3_server
from checking_store import checking
from server_process import ServerProcess

TOTAL = 100 << 20
SHAPES = {"1 file": 1, "20 files": 20}
STORES = {"checked by the store": True, "copied and read": False}
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

    def upload(self, folder: Path) -> float:
        """Seconds from the files on disk to their confirmation, for a new job."""
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
        return time.perf_counter() - began

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
        self._db.close()


def measure(report: Report, address: str, checks: bool, name: str, scratch: Path) -> None:
    """Both in turn, median of five each."""
    settings = s3_server.settings(address)
    with ExitStack() as running:
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
            rounds = [(desk.upload(folder), plain(address, folder)) for _ in range(ROUNDS)]
            ours, peer = (median(column) for column in zip(*rounds, strict=True))
            what = f"100 MB of artifacts, {shape}, {name} [s]"
            met = ours <= 1.3 * peer
            report.add(what, ours, peer=peer, peer_name="boto3", bar="<= 1.3x", met=met)


def main() -> None:
    """Over both kinds of store."""
    report = Report("upload")
    os.environ |= s3_server.CREDENTIALS
    with tempfile.TemporaryDirectory() as scratch, s3_server.serve(Path(scratch)) as address:
        for name, checks in STORES.items():
            measure(report, address, checks, name, Path(scratch))
    report.close()


if __name__ == "__main__":
    main()
