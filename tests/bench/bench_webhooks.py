"""Webhook acknowledgements: signed deliveries a second, each stored durably before its 202.

The load is a push of a tag (5 kB), which is verified, parsed, stored and settled, but starts nothing. Beside
it the limit of this stack: the same WSGI server around a function that only verifies the signature and keeps
nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.report import Report

SECRET = "bench"  # of a server that lives for seconds
ROOT = Path(__file__).parents[2]
CONNECTIONS = 16
SECONDS = 4.0
ROUNDS = 3
RATE = 200
"""Deliveries a second at which the delay is measured."""

PUSH = {
    "ref": "refs/tags/v1",
    "deleted": False,
    "head_commit": {"id": "a" * 40, "message": "x" * 4000},
    "repository": {
        "id": 1,
        "name": "spoon",
        "owner": {"login": "alice"},
        "private": False,
        "default_branch": "main",
    },
    "installation": {"id": 2},
    "sender": {"login": "alice", "type": "User"},
}
BODY = json.dumps(PUSH).encode()
SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()


def verify_only(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The peer: a WSGI app that reads, verifies and answers."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    expected = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    right = hmac.compare_digest(expected, environ.get("HTTP_X_HUB_SIGNATURE_256", ""))
    start_response("202 Accepted" if right else "401 Unauthorized", [("Content-Length", "2")])
    return [b"{}"]


class Sender:
    """One kept connection that sends deliveries."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def send(self) -> None:
        """Send one and wait for its 202."""
        head = (
            "POST /webhooks/github HTTP/1.1\r\nHost: raas\r\nContent-Type: application/json\r\n"
            f"X-GitHub-Event: push\r\nX-GitHub-Delivery: {uuid.uuid4()}\r\n"
            f"X-Hub-Signature-256: {SIGNATURE}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + BODY)
        status = self._answers.readline()
        length = 0
        while (line := self._answers.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self._answers.read(length)
        if b" 202 " not in status:
            raise RuntimeError(f"the server answered {status!r}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def rate(port: int) -> float:
    """Acknowledgements a second over all connections."""
    counts = [0] * CONNECTIONS
    end = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        sender = Sender(port)
        while time.perf_counter() < end:
            sender.send()
            counts[number] += 1
        sender.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def delays(port: int) -> list[float]:
    """Seconds from when a delivery was due to its 202, at `RATE` a second (a late start counts)."""
    found: list[float] = []
    start = time.perf_counter() + 0.2

    def work(number: int) -> None:
        sender = Sender(port)
        for index in range(number, int(RATE * SECONDS), CONNECTIONS):
            due = start + index / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            sender.send()
            found.append(time.perf_counter() - due)
        sender.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


@contextmanager
def process(command: list[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    """A server process that answers on the port."""
    running = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} did not start")
            time.sleep(0.1)
        yield
    finally:
        running.terminate()
        running.wait(30)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2)  # our own
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Measure, interleaved, and report medians."""
    report = Report("webhooks")
    ours, peer = free_port(), free_port()
    beside = Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "RAAS_DATA_DIR": folder,
            "RAAS_OWNERS": "*",
            "RAAS_BIND": f"127.0.0.1:{ours}",
            "RAAS_GITHUB_WEBHOOK_SECRET": SECRET,
        }
        server = str(beside.with_name("raas-server"))
        subprocess.run([server, "upgrade"], env={**os.environ, **settings}, check=True, capture_output=True)
        gunicorn = [str(beside), "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{peer}"]
        with (
            process([server, "serve"], ours, settings),
            process([*gunicorn, "tests.bench.bench_webhooks:verify_only"], peer, {}),
        ):
            pairs = [(rate(ours), rate(peer)) for _ in range(ROUNDS)]
            report.add(
                "acknowledgements/s, SQLite, one process",
                statistics.median(pair[0] for pair in pairs),
                peer=statistics.median(pair[1] for pair in pairs),
                peer_name="verify only",
            )
            found = delays(ours)
            p99 = found[int(0.99 * len(found))] * 1000
            report.add(f"delay at {RATE}/s, median [ms]", statistics.median(found) * 1000)
            report.add(f"delay at {RATE}/s, p99 [ms]", p99, bar="< 100 ms", met=p99 < 100)
    report.close()


if __name__ == "__main__":
    main()
