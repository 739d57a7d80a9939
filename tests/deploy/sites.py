"""A server behind the proxy of `deploy/`: as processes of this machine, or as its Compose project."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from needs import need, need_docker
from server_process import WEBHOOK_SECRET, ServerProcess

ROOT = Path(__file__).parents[2]
IMAGES = ("python:3.13-slim-trixie", "caddy:2", "postgres:17")
START_S = 300.0
AUTHORITY = "caddy/pki/authorities/local/root.crt"

SETTING_UP = """
import sys
from github_app import config, moves, queue, tokens
from github_app.db import Database
from github_app.models import Repository
db = Database(config.load().database_url)
with db.write() as session:
    session.merge(
        Repository(id=1, installation_id=1, owner="a", name="b", private=False, default_branch="main")
    )
    if sys.argv[1] == "invite":
        print(tokens.invite(session, "goose", (), moves.utc_now()))
    else:
        wish = queue.JobRequest(
            1, "push", sys.argv[1], "a", "5" * 40, "main", {"version": 1}, ["pendulum"], 60
        )
        queue.submit(session, wish)
db.close()
"""


@dataclass(frozen=True)
class Site:
    """One that runs.

    Attributes:
        url: Of the proxy.
        authority: The certificate of who signed the proxy's.
        python: Begins a command line for a Python with the server's settings.
        environment: Of such a command; None is ours.
    """

    url: str
    authority: Path
    python: tuple[str, ...]
    environment: Mapping[str, str] | None = None

    @property
    def trust(self) -> ssl.SSLContext:
        """For connections to it."""
        return ssl.create_default_context(cafile=str(self.authority))

    def put_in(self, what: str) -> str:
        """A job with the key `what`, or a runner to `invite`, past the proxy; what was printed."""
        command = [*self.python, "-c", SETTING_UP, what]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True
        ).stdout.strip()


@contextmanager
def processes(scratch: Path) -> Iterator[Site]:
    """A server and Debian's Caddy with `deploy/Caddyfile`, on ports of their own."""
    caddy = shutil.which("caddy")
    need(caddy is not None, "Caddy", "apt-get install caddy")
    port, plain_port = _free_port(), _free_port()
    url = f"https://localhost:{port}"
    server = ServerProcess(scratch / "data", PUBLIC_URL=url, TRUSTED_PROXIES="127.0.0.1")
    environment = {
        "RAAS_HOST": f"localhost:{port}",
        "RAAS_UPSTREAM": server.url.removeprefix("http://"),
        "XDG_DATA_HOME": str(scratch),
        "XDG_CONFIG_HOME": str(scratch),
        "HOME": str(scratch),
    }
    adapted = subprocess.run(
        [str(caddy), "adapt", "--config", ROOT / "deploy/Caddyfile"],
        env=environment,
        capture_output=True,
        check=True,
    )
    config = json.loads(adapted.stdout)
    config["admin"] = {"disabled": True}
    config["apps"]["http"]["http_port"] = plain_port
    # Whoever runs the test may not be asked to trust a new authority.
    config["apps"]["pki"] = {"certificate_authorities": {"local": {"install_trust": False}}}
    (scratch / "caddy.json").write_text(json.dumps(config))
    server.start()
    with (scratch / "caddy.log").open("wb") as log:
        proxy = subprocess.Popen(
            [str(caddy), "run", "--config", scratch / "caddy.json"], env=environment, stderr=log
        )
    try:
        authority = scratch / AUTHORITY
        _wait(lambda: authority.exists() and _ready(url, authority), (scratch / "caddy.log").read_text)
        yield Site(url, authority, (sys.executable,), server.environment)
    finally:
        server.close()
        proxy.terminate()
        proxy.wait(20)


@contextmanager
def compose(scratch: Path) -> Iterator[Site]:
    """`deploy/compose.yaml` as it is, its settings filled in from the example; needs ports 80 and 443."""
    need_docker()
    words = _compose_command()
    for image in IMAGES:
        need(
            _there(image), f"the image {image}", "let this machine reach a registry, or tag one of its own so"
        )
    for port in (80, 443):
        with socket.socket() as probe:
            need(probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port}", "end what listens there")
    folder = scratch / "deploy"
    shutil.copytree(ROOT / "deploy", folder, ignore=shutil.ignore_patterns(".env"))
    _fill_in(folder)
    # The image is built from this repository; everything else is as operators have it.
    build = {"services": {"server": {"build": {"context": str(ROOT), "dockerfile": "deploy/Dockerfile"}}}}
    (folder / "here.yaml").write_text(json.dumps(build))
    words += ["-f", str(folder / "compose.yaml"), "-f", str(folder / "here.yaml"), "-p", "raas-test"]
    try:
        done = subprocess.run(
            [*words, "up", "--build", "--detach"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:] + _logs(words)
        authority = scratch / "root.crt"
        _wait(
            lambda: _copied(words, authority) and _ready("https://localhost", authority), lambda: _logs(words)
        )
        yield Site("https://localhost", authority, (*words, "exec", "-T", "server", "python3"))
    finally:
        subprocess.run(
            [*words, "down", "--volumes", "--rmi", "local"], cwd=folder, capture_output=True, check=False
        )


def _fill_in(folder: Path) -> None:
    values = {
        "RAAS_PUBLIC_URL": "https://localhost",
        "RAAS_HOST": "localhost",
        "POSTGRES_PASSWORD": "a-password-for-tests",
    }
    lines = (folder / "raas.env.example").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines]
    filled = [
        f"{name}={values[name]}" if name in values else line for name, line in zip(names, lines, strict=True)
    ]
    (folder / ".env").write_text("\n".join([*filled, f"RAAS_GITHUB_WEBHOOK_SECRET={WEBHOOK_SECRET}", ""]))


def _compose_command() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    need(shutil.which("docker-compose") is not None, "Compose", "apt-get install docker-compose")
    return ["docker-compose"]


def _there(image: str) -> bool:
    commands = (["docker", "image", "inspect", image], ["docker", "pull", "--quiet", image])
    return any(subprocess.run(it, capture_output=True, check=False).returncode == 0 for it in commands)


def _copied(words: list[str], target: Path) -> bool:
    done = subprocess.run(
        [*words, "exec", "-T", "proxy", "cat", f"/data/{AUTHORITY}"], capture_output=True, check=False
    )
    target.write_bytes(done.stdout)
    return done.returncode == 0


def _logs(words: list[str]) -> str:
    return subprocess.run([*words, "logs", "--tail=40"], capture_output=True, text=True, check=False).stdout


def _ready(url: str, authority: Path) -> bool:
    try:
        return requests.get(f"{url}/readyz", verify=str(authority), timeout=5).ok
    except requests.RequestException:
        return False


def _wait(condition: Callable[[], bool], said: Callable[[], str]) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
