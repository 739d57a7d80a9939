"""Webhook acknowledgements: signed deliveries a second, each stored durably before its 202.

The load is a push of a tag (5 kB), which is verified, parsed, stored and settled, but starts nothing. Beside
it a minimal Probot app (Node.js), which verifies, acknowledges and keeps nothing, and the limit of our own
stack: the same WSGI server around a function that does no more than that. Ours runs on SQLite with one
process and, where PostgreSQL is installed, with two.

The senders share the machine with the servers, so the rates say as much about them and about the neighbours.
The processor time of a server for each delivery (all of its processes, with system calls) does not.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import postgres
from tests.bench.report import Report

SECRET = "bench"  # of a server that lives for seconds
ROOT = Path(__file__).parents[2]
CONNECTIONS = 64
SECONDS = 4.0
ROUNDS = 3
PROBOT = "14.3.2"
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
        if b" 202 " not in status and b" 200 " not in status:
            raise RuntimeError(f"the server answered {status!r}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@dataclass(frozen=True)
class Served:
    """A server under load, or how it did: deliveries a second, and its processor time for each [ms]."""

    rate: float
    cpu_ms: float


@dataclass(frozen=True)
class Subject:
    """A server that runs: its port, and its first process."""

    port: int
    pid: int


def cpu_s(pid: int) -> float:
    """Processor time so far [s] of a process and those it started, with system calls."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime
    return own + sum(cpu_s(int(child)) for child in children)


def serve(subject: Subject) -> Served:
    """Deliveries over all connections, as many as it takes."""
    before = cpu_s(subject.pid)
    count = load(subject.port)
    return Served(count / SECONDS, 1000 * (cpu_s(subject.pid) - before) / count)


def load(port: int) -> int:
    """Acknowledgements within `SECONDS` over all connections."""
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
    return sum(counts)


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
def process(command: list[str], port: int, environment: dict[str, str]) -> Iterator[Subject]:
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
        yield Subject(port, running.pid)
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


def probot() -> Path:
    """The folder with Probot, fetched once by exact version into the git-ignored cache."""
    folder = ROOT / ".cache" / f"probot-{PROBOT}"
    if not (folder / "node_modules" / "probot").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        subprocess.run([*npm, "--prefix", str(folder), f"probot@{PROBOT}"], check=True, timeout=600)
    return folder


@contextmanager
def raas(**settings: str) -> Iterator[Subject]:
    """Our server."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        known = {
            "RAAS_DATA_DIR": folder,
            "RAAS_OWNERS": "*",
            "RAAS_BIND": f"127.0.0.1:{port}",
            "RAAS_GITHUB_WEBHOOK_SECRET": SECRET,
            **settings,
        }
        server = str(Path(sys.executable).with_name("raas-server"))
        subprocess.run([server, "upgrade"], env={**os.environ, **known}, check=True, capture_output=True)
        with process([server, "serve"], port, known) as ours:
            yield ours


@contextmanager
def peers() -> Iterator[dict[str, Subject]]:
    """Those we are measured against, by name."""
    plain, node = free_port(), free_port()
    gunicorn = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{plain}"]
    script = str(Path(__file__).with_name("probot_peer.mjs"))
    with (
        process([*gunicorn, "tests.bench.bench_webhooks:verify_only"], plain, {}) as bare,
        process(["node", script, str(probot()), str(node), SECRET], node, {}) as peer,
    ):
        yield {"Probot, verify only": peer, "gunicorn, verify only": bare}


def compare(report: Report, what: str, ours: Subject, others: dict[str, Subject]) -> None:
    """Rates and processor time beside the peers', interleaved, medians; and the delay at a steady rate."""
    rounds = [(serve(ours), {name: serve(one) for name, one in others.items()}) for _ in range(ROUNDS)]
    for name in others:
        report.add(
            f"acknowledgements/s, {what}",
            statistics.median(own.rate for own, _ in rounds),
            peer=statistics.median(them[name].rate for _, them in rounds),
            peer_name=name,
        )
        report.add(
            f"processor time a delivery [ms], {what}",
            statistics.median(own.cpu_ms for own, _ in rounds),
            peer=statistics.median(them[name].cpu_ms for _, them in rounds),
            peer_name=name,
        )
    found = delays(ours.port)
    p99 = found[int(0.99 * len(found))] * 1000
    report.add(f"delay at {RATE}/s, {what}, median [ms]", statistics.median(found) * 1000)
    report.add(f"delay at {RATE}/s, {what}, p99 [ms]", p99, bar="< 100 ms", met=p99 < 100)


def main() -> None:
    """Measure and report."""
    report = Report("webhooks")
    with peers() as others:
        with raas() as ours:
            compare(report, "SQLite, one process", ours, others)
        if postgres.missing() is None:
            cluster = postgres.Cluster()
            try:
                with raas(RAAS_DATABASE_URL=cluster.database(), RAAS_WORKERS="2") as ours:
                    compare(report, "PostgreSQL, two processes", ours, others)
            finally:
                cluster.close()
    report.close()


if __name__ == "__main__":
    main()
