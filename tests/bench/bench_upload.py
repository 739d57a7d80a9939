"""100 MB of artifacts from a runner to an S3, beside plain boto3 with the same files and the same S3.

Ours is the whole way: digests, the offer, presigned PUTs past the server, the server's check of what arrived,
the confirmation. Real server process, real S3 (`rclone serve s3`), the runner's own code.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import threading
import time
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
from server_process import ServerProcess

TOTAL = 100 << 20
SHAPES = {"1 file": 1, "20 files": 20}
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
        job = self._client.claim(Claim(key=secrets.token_hex(16), wait_s=20, robot=ROBOT, software="1"))
        assert job is not None
        self._client.running(job.id, job.fence, 30)
        began = time.perf_counter()
        artifacts.upload(self._client, job.id, job.fence, folder)
        return time.perf_counter() - began

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
        self._db.close()


def main() -> None:
    """Both in turn, median of five each."""
    report = Report("upload")
    os.environ |= s3_server.CREDENTIALS
    with tempfile.TemporaryDirectory() as name, s3_server.serve(Path(name)) as address:
        server = ServerProcess(Path(name) / "data", **s3_server.settings(address), LEASE_S="600")
        server.start()
        desk = Desk(server)
        try:
            for shape, count in SHAPES.items():
                folder = Path(name) / f"files-{count}"
                make_files(folder, count)
                rounds = [(desk.upload(folder), plain(address, folder)) for _ in range(ROUNDS)]
                ours, peer = (median(column) for column in zip(*rounds, strict=True))
                report.add(
                    f"100 MB of artifacts, {shape} [s]",
                    ours,
                    peer=peer,
                    peer_name="boto3",
                    bar="<= 1.3x",
                    met=ours <= 1.3 * peer,
                )
        finally:
            desk.close()
            server.close()
    report.close()


if __name__ == "__main__":
    main()
