"""A real S3 that checks signatures: `rclone serve s3` over a directory."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

ACCESS, SECRET = "AKTESTTESTTESTTEST", "a-secret-of-forty-characters-for-testing"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
START_S = 60.0


def command(root: Path) -> tuple[list[str], str]:
    """What serves `root`, and the address at which it will."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = str(Path(sysconfig.get_path("scripts")) / "rclone")
    options = ["--addr", address, "--auth-key", f"{ACCESS},{SECRET}", "--config", "/dev/null"]
    return [program, "serve", "s3", *options, str(root)], f"http://{address}"


@contextlib.contextmanager
def serve(root: Path, *options: str) -> Iterator[str]:
    """Serve `root`, with one bucket named `bucket`, until the end; yields the address."""
    (root / "bucket").mkdir(parents=True, exist_ok=True)
    words, url = command(root)
    server = subprocess.Popen([*words, *options], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not listens(url):
            assert server.poll() is None, "rclone ended at once"
            assert time.monotonic() < deadline, "rclone does not listen"
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def settings(url: str) -> dict[str, str]:
    """A server's settings for a prefix of its own in that bucket; names without their `RAAS_`."""
    return {"ARTIFACTS": f"s3://bucket/{secrets.token_hex(4)}/prefix", "S3_ENDPOINT_URL": url}


def listens(url: str) -> bool:
    """Whether somebody does at that address."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
