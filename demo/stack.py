"""The whole of RaaS on one machine: stand-in for GitHub, server, controller, runner, each its own process.

`make demo` runs it for people; the end-to-end tests run it and kill its parts at bad moments.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
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
        settings: Further `RAAS_` variables for the server.
        robot: The robot's name.
        conformance: Whether the stand-in holds every exchange to GitHub's official description.
    """

    data: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    robot: str = "goose"
    conformance: bool = False
    github_port: int = 0
    server_port: int = 0

    def __post_init__(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.server_port = free_port(self.server_port)
        self.github_port = free_port(self.github_port)
        # A Unix socket's path may have 107 characters; a data directory may be longer.
        self.run_dir = Path(mkdtemp(prefix="raas-"))
        self.processes: dict[str, Process] = {}
        self.world: World
        self.app: App

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def control_socket(self) -> Path:
        """Where the controller answers."""
        return self.run_dir / "control.sock"

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
        """The App as `app.yml` describes it, its webhook pointing at our server."""
        self.app = self.world.app(
            "raas",
            webhook_url=f"{self.url}/webhooks/github",
            webhook_secret=secrets.token_hex(20),
            manifest=REPOSITORY / "app.yml",
        )

    def server_environment(self) -> dict[str, str]:
        """What the server is told, all by environment."""
        return _environment() | {
            "RAAS_DATA_DIR": str(self.data / "server"),
            "RAAS_PUBLIC_URL": self.url,
            "RAAS_BIND": f"127.0.0.1:{self.server_port}",
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

    def start_server(self) -> None:
        """The server; its database is brought up to date first."""
        environment = self.server_environment()
        _run([script("raas-server"), "upgrade"], environment)
        self._start("server", [script("raas-server"), "serve"], environment).ready(self._server_answers)

    def start_controller(self) -> None:
        """The controller with the simulated plant."""
        command = [script("raas-controller"), "serve", "--plant", "simulated", "--name", self.robot]
        command += ["--data-dir", str(self.data / "controller"), "--socket", str(self.control_socket)]
        self.control_socket.unlink(missing_ok=True)  # a killed controller leaves it behind
        self._start("controller", command, _environment()).ready(self.control_socket.is_socket)

    def register_runner(self) -> None:
        """Hand the runner its one-time token."""
        command = [script("raas-server"), "runner", "add", self.robot, "--labels", LABELS]
        token = _run(command, self.server_environment()).strip().splitlines()[-1].strip()
        register = [script("raas-runner"), "register", "--server", self.url, "--token", token]
        register += ["--controller", str(self.control_socket), "--data-dir", str(self.data / "runner")]
        _run(register, self.runner_environment())

    def runner_environment(self) -> dict[str, str]:
        """What the runner is told."""
        return _environment() | {"RAAS_RUNNER_CONFIG": str(self.data / "runner" / "runner.yml")}

    def start_runner(self) -> None:
        """The runner, registered before."""
        self._start("runner", [script("raas-runner"), "run"], self.runner_environment())

    def start(self) -> None:
        """Everything, in the order in which one part needs another."""
        self.start_github()
        self.make_app()
        self.start_server()
        self.start_controller()
        self.register_runner()
        self.start_runner()

    def stop(self) -> None:
        """Everything ends; a second SIGTERM tells the runner not to wait for a running job."""
        for name in ("runner", "controller", "server", "github"):
            process = self.processes.pop(name, None)
            if process is not None:
                process.stop(signals=2 if name == "runner" else 1)
        for leftover in sorted(self.run_dir.rglob("*"), reverse=True):
            with suppress(OSError):
                leftover.rmdir() if leftover.is_dir() else leftover.unlink()
        with suppress(OSError):
            self.run_dir.rmdir()

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        process = Process(name, command, self.data / "logs" / f"{name}.log", environment)
        self.processes[name] = process
        return process

    def _server_answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.ConnectionError:
            return False


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
