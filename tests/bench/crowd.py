"""Thousands of runners in one process that costs next to nothing: plain sockets, one selector.

Each holds a connection on which it long-polls. What it gets is told through a pipe and given back as ended;
then it waits again. A client such as `requests`, with a session for each, would take several times the
processor time of the server that is measured, on the same cores.
"""

from __future__ import annotations

import json
import secrets
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from runner.protocol import PREFIX

ROBOT = {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
NEW_PER_S = 200
"""How many runners come in a second, until all are there."""
PATIENCE_S = 2.0
"""A runner that is told to come later (503) does so after this time."""


class Runner:
    """One runner: its connection, and what has come of the answer it waits for."""

    def __init__(self, address: tuple[str, int], token: str, wait_s: float, polls: Any) -> None:
        self._address, self._token, self._wait_s, self._polls = address, token, wait_s, polls
        self._answer = b""
        self._job: dict[str, Any] | None = None
        self.socket = socket.create_connection(address)

    def ask(self) -> None:
        """Ask for a job."""
        self._job = None
        self._polls.value += 1
        self._post("claim", key=secrets.token_hex(16), wait_s=self._wait_s, robot=ROBOT, software="1")

    def _post(self, path: str, **message: Any) -> None:
        body = json.dumps(message)
        host, port = self._address
        self._answer = b""
        self.socket.sendall(
            f"POST {PREFIX}/{path} HTTP/1.1\r\nHost: {host}:{port}\r\nRAAS-Protocol: 1\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def hear(self) -> tuple[int, dict[str, Any] | None]:
        """Read what there is; and take the next step.

        Returns:
            The status (0: not all is here yet), and the job that was got, if any.
        """
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionError("the server has closed a runner's connection")
        self._answer += piece
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return 0, None
        status = int(head.split(maxsplit=2)[1])
        if status == 204:
            self.ask()
        elif status == 200:
            job = self._job = json.loads(body)
            said = {"fence": job["fence"], "conclusion": "failure", "reason": "bench"}
            self._post(f"jobs/{job['id']}/finish", **said)
        elif status != 503:
            raise RuntimeError(f"the server answered {status}: {body!r}")
        return status, self._job if status == 200 else None


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def run(url: str, tokens: Sequence[str], wait_s: float, pipe: Connection, polls: Any) -> None:
    """Be these runners until the process is ended.

    Args:
        url: The server.
        tokens: A runner's each.
        wait_s: How long they ask to wait [s].
        pipe: Gets each job's commit, and when its runner had it (seconds since the epoch).
        polls: A shared number that counts how often one asked.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    selector, later = selectors.DefaultSelector(), deque[tuple[float, Runner]]()
    began, come = time.monotonic(), 0
    while True:
        while come < min(len(tokens), NEW_PER_S * (time.monotonic() - began)):
            runner = Runner(address, tokens[come], wait_s, polls)
            selector.register(runner.socket, selectors.EVENT_READ, runner)
            runner.ask()
            come += 1
        while later and later[0][0] < time.monotonic():
            later.popleft()[1].ask()
        for key, _ in selector.select(None if come == len(tokens) and not later else 0.05):
            status, job = key.data.hear()
            if job is not None:
                pipe.send((job["sha"], time.time()))
            if status == 503:
                later.append((time.monotonic() + PATIENCE_S, key.data))
