"""What the tests of the stand-in for GitHub share: a running one, an App on it, a receiver of webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import jwt
import pytest
from needs import need

from demo import openapi
from demo.github import Running, World, serve_in_thread
from demo.github.world import App

SECRET = "It's a Secret to Everybody"
MANIFEST = Path(__file__).parent.parent / "app.yml"
_NUMBERS = count(1)


@dataclass(frozen=True)
class Received:
    """One webhook as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> str:
        """Event and action: `pull_request.opened`."""
        action = self.payload.get("action")
        return self.headers["x-github-event"] + (f".{action}" if action else "")

    @property
    def payload(self) -> dict[str, Any]:
        """The JSON document."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_with(self, secret: str) -> bool:
        """Whether both signature headers fit the bytes."""
        expected = {
            "x-hub-signature": "sha1=" + hmac.new(secret.encode(), self.body, hashlib.sha1).hexdigest(),
            "x-hub-signature-256": "sha256="
            + hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest(),
        }
        return all(self.headers[name] == value for name, value in expected.items())


@dataclass
class Receiver:
    """A webhook receiver that keeps everything; `status` is what it answers, after `hold` is set."""

    url: str
    status: int = 202
    hold: threading.Event = field(default_factory=threading.Event)
    received: list[Received] = field(default_factory=list)

    def events(self) -> list[str]:
        """What came, in order."""
        return [it.event for it in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(headers, body))
            receiver.hold.wait()
            self.send_response(receiver.status)
            self.send_header("X-Receiver", "yes")
            self.end_headers()
            self.wfile.write(b"thanks")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/webhooks/github")
    receiver.hold.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Site:
    """A stand-in with an App that is told of everything `app.yml` says."""

    github: Running
    receiver: Receiver
    app: App

    @property
    def world(self) -> World:
        """The client of the stand-in."""
        return self.github.world

    def repository(self, *, private: bool = False, install: bool = True, owner: str = "alice") -> str:
        """A new repository with one commit, the App installed."""
        name = f"{owner}/project-{next(_NUMBERS)}"
        self.world.repository(name, private=private)
        if install:
            self.world.install(self.app.id, name)
        self.world.push(name, {"run.py": "print('hello')\n"}, user=owner, message="Begin")
        return name

    def jwt(self, **claims: Any) -> str:
        """The App's JWT; claims given here replace the good ones, None removes one."""
        current = int(time.time())
        good = {"iat": current - 60, "exp": current + 540, "iss": str(self.app.id)}
        claims = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(claims, self.app.private_key, algorithm="RS256")

    def installation(self, name: str) -> int:
        """The id of the installation on a repository."""
        return int(self.world.call(self.jwt(), "GET", f"/repos/{name}/installation")["id"])

    def token(self, name: str, **narrowing: Any) -> str:
        """An installation token for a repository's installation."""
        path = f"/app/installations/{self.installation(name)}/access_tokens"
        return str(self.world.call(self.jwt(), "POST", path, **narrowing)["token"])

    def check_run(self, name: str, sha: str, **fields: Any) -> dict[str, Any]:
        """A check run of the App."""
        body = {"name": "RaaS", "head_sha": sha, **fields}
        found: dict[str, Any] = self.world.call(self.token(name), "POST", f"/repos/{name}/check-runs", **body)
        return found

    def heard(self, name: str) -> list[Received]:
        """What the App was told about one repository, in order, once nothing is pending."""
        self.world.settle()
        about = (
            it for it in self.receiver.received if it.payload.get("repository", {}).get("full_name") == name
        )
        return list(about)


@contextmanager
def site(data: Path, **options: Any) -> Iterator[Site]:
    """A stand-in, an App and a receiver."""
    with receiving() as receiver, serve_in_thread(data, **options) as github:
        app = github.world.app(
            "RaaS", webhook_url=receiver.url, webhook_secret=SECRET, manifest=MANIFEST, owner="host"
        )
        yield Site(github, receiver, app)


def need_description() -> None:
    """GitHub's OpenAPI description, or no test."""
    try:
        openapi.description()
    except openapi.UnavailableError as error:
        need(False, "GitHub's OpenAPI description", str(error))


def until(condition: Callable[[], object], timeout_s: float = 10) -> None:
    """Wait for a condition that another thread or process brings about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not so within {timeout_s} s")
        time.sleep(0.02)
