"""The whole of RaaS on one machine: stand-in for GitHub, server, controller, runner, each its own process.

`make demo` runs it for people; the end-to-end tests run it and kill its parts at bad moments. There may be
several servers (on one PostgreSQL) and several robots, each with its controller and its runner: the first of
a kind is called `server`, the second `server-2`, its folder and its log likewise.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import requests

from demo.github.world import App, World
from demo.processes import Process, StartError, free_port, script

REPOSITORY = Path(__file__).resolve().parent.parent
LABELS = "pendulum"


@dataclass
class Stack:
    """The processes and what they need to know of each other.

    Attributes:
        data: Everything the processes keep lies below; one folder each, logs in `logs`.
        settings: Further `RAAS_` variables for the servers.
        environment: Further variables for servers, controllers and runners alike.
        robots: The robots' names.
        servers: How many servers.
        ways: Where a runner, or `github`, by its name, is to find a server; by default at `url`.
        conformance: Whether the stand-in holds every exchange to GitHub's official description.
    """

    data: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    robots: Sequence[str] = ("goose",)
    servers: int = 1
    ways: Mapping[str, str] = field(default_factory=dict)
    conformance: bool = False
    github_port: int = 0
    server_port: int = 0

    def __post_init__(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.server_ports = [free_port(self.server_port), *(free_port() for _ in range(1, self.servers))]
        self.server_port = self.server_ports[0]
        self.github_port = free_port(self.github_port)
        # A Unix socket's path may have 107 characters; a data directory may be longer.
        self.run_dir = Path(mkdtemp(prefix="raas-"))
        self.processes: dict[str, Process] = {}
        self.world: World
        self.app: App

    @property
    def url(self) -> str:
        """Where the first server answers."""
        return self.url_of(1)

    def url_of(self, number: int) -> str:
        """Where a server answers."""
        return f"http://127.0.0.1:{self.server_ports[number - 1]}"

    @property
    def control_socket(self) -> Path:
        """Where the first controller answers."""
        return self.control_socket_of(1)

    def control_socket_of(self, number: int) -> Path:
        """Where a controller answers."""
        return self.run_dir / f"{called('control', number)}.sock"

    def start_github(self) -> None:
        """The stand-in, with the App made from `app.yml`."""
        data = self.data / "github"
        command = [
            script("python"),
            "-m",
            "demo.github",
            "--port",
            str(self.github_port),
            "--data",
            str(data),
        ]
        command += ["--conformance"] if self.conformance else []
        (data / "admin.json").unlink(missing_ok=True)
        process = self._start("github", command, _environment())
        process.ready((data / "admin.json").exists)
        self.world = World.from_data_dir(data)

    def make_app(self) -> None:
        """The App as `app.yml` describes it, its webhook and its sign-in pointing at our server."""
        self.app = self.world.app(
            "raas",
            webhook_url=f"{self.ways.get('github', self.url)}/webhooks/github",
            webhook_secret=secrets.token_hex(20),
            manifest=REPOSITORY / "app.yml",
            callback_urls=[f"{self.ways.get('github', self.url)}/sign-in/done"],
        )

    def server_environment(self, number: int = 1) -> dict[str, str]:
        """What a server is told, all by environment."""
        return self._environment() | {
            "RAAS_DATA_DIR": str(self.data / "server"),
            "RAAS_PUBLIC_URL": self.ways.get("github", self.url),
            "RAAS_BIND": f"127.0.0.1:{self.server_ports[number - 1]}",
            "RAAS_GITHUB_API_URL": self.world.api_url,
            "RAAS_GITHUB_WEB_URL": self.world.url,
            "RAAS_GITHUB_APP_ID": str(self.app.id),
            "RAAS_GITHUB_PRIVATE_KEY": self.app.private_key,
            "RAAS_GITHUB_WEBHOOK_SECRET": self.app.webhook_secret,
            "RAAS_GITHUB_CLIENT_ID": self.app.client_id,
            "RAAS_GITHUB_CLIENT_SECRET": self.app.client_secret,
            "RAAS_OWNERS": "*",
            # The stand-in counts nothing unless it is told to, and a load of jobs shares one installation.
            "RAAS_GITHUB_WRITES_PER_MINUTE": "0",
            "RAAS_GITHUB_WRITES_PER_HOUR": "0",
            **self.settings,
        }

    def start_server(self, number: int = 1) -> None:
        """A server; its database is brought up to date first."""
        environment = self.server_environment(number)
        _run([script("raas-server"), "upgrade"], environment)
        command = [script("raas-server"), "serve"]
        self._start(called("server", number), command, environment).ready(
            lambda: self._server_answers(number)
        )

    def start_controller(self, number: int = 1) -> None:
        """A controller with the simulated plant."""
        name, socket = called("controller", number), self.control_socket_of(number)
        command = [script("raas-controller"), "serve", "--plant", "simulated"]
        command += ["--name", self.robots[number - 1]]
        command += ["--data-dir", str(self.data / name), "--socket", str(socket)]
        socket.unlink(missing_ok=True)  # a killed controller leaves it behind
        self._start(name, command, self._environment()).ready(socket.is_socket)

    def register_runner(self, number: int = 1) -> None:
        """Hand a runner its one-time token."""
        name = called("runner", number)
        command = [script("raas-server"), "runner", "add", self.robots[number - 1], "--labels", LABELS]
        token = _run(command, self.server_environment()).strip().splitlines()[-1].strip()
        register = [script("raas-runner"), "register", "--server", self.ways.get(name, self.url)]
        register += ["--token", token, "--controller", str(self.control_socket_of(number))]
        register += ["--data-dir", str(self.data / name)]
        _run(register, self.runner_environment(number))

    def runner_environment(self, number: int = 1) -> dict[str, str]:
        """What a runner is told."""
        file = self.data / called("runner", number) / "runner.yml"
        return self._environment() | {"RAAS_RUNNER_CONFIG": str(file)}

    def start_runner(self, number: int = 1) -> None:
        """A runner, registered before."""
        self._start(called("runner", number), [script("raas-runner"), "run"], self.runner_environment(number))

    def start(self) -> None:
        """Everything, in the order in which one part needs another."""
        self.start_github()
        self.make_app()
        for number in range(1, self.servers + 1):
            self.start_server(number)
        for number in range(1, len(self.robots) + 1):
            self.start_controller(number)
            self.register_runner(number)
            self.start_runner(number)

    def stop(self) -> None:
        """Everything ends; a second SIGTERM tells the runner not to wait for a running job."""
        for kind in ("runner", "controller", "server", "github"):
            for name in [name for name in self.processes if name.partition("-")[0] == kind]:
                self.processes.pop(name).stop(signals=2 if kind == "runner" else 1)
        for leftover in sorted(self.run_dir.rglob("*"), reverse=True):
            with suppress(OSError):
                leftover.rmdir() if leftover.is_dir() else leftover.unlink()
        with suppress(OSError):
            self.run_dir.rmdir()

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        process = Process(name, command, self.data / "logs" / f"{name}.log", environment)
        self.processes[name] = process
        return process

    def _environment(self) -> dict[str, str]:
        return _environment() | dict(self.environment)

    def _server_answers(self, number: int) -> bool:
        try:
            return requests.get(f"{self.url_of(number)}/readyz", timeout=2).ok
        except (requests.ConnectionError, requests.Timeout):
            return False


def called(kind: str, number: int) -> str:
    """The name of one of a kind."""
    return kind if number == 1 else f"{kind}-{number}"


@contextmanager
def running(data: Path, **options: object) -> Iterator[Stack]:
    """A started `Stack`, stopped at the end whatever happens."""
    stack = Stack(data, **options)  # type: ignore[arg-type]  # the dataclass's own fields
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def _environment() -> dict[str, str]:
    """Ours, less any RAAS_ setting of the person at the keyboard."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAAS_")}


def _run(command: list[str], environment: dict[str, str]) -> str:
    """The standard output of a command that must work."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
