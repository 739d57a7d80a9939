"""A machine on which everything was put into service as the documents say, and a GitHub outside of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import requests
from debian import ROOT, Machine
from e2e_lab import STEPPING

from demo.github import World, serve_in_thread
from demo.github.world.registry import App
from demo.processes import wait_until
from runner import base_image
from runner.sandbox import Engine

SECRET = "a webhook secret for tests"
ANEW_S = 120.0
"""The longest watchdog waits a minute."""
TOKEN = re.compile(r"--token (\S+)")


@dataclass
class Service:
    """What is in service.

    Attributes:
        machine: Server, controller and runner, as units.
        world: GitHub, as users see it.
        app: The GitHub App that the server is.
    """

    machine: Machine
    world: World
    app: App
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def url(self) -> str:
        """Of the server."""
        return f"http://{self.machine.address}:8000"

    def push(self, steps: int) -> str:
        """A new repository whose program steps so often (20 a second); its name."""
        return self.push_files({"run.py": STEPPING.format(steps=steps)})

    def push_files(self, files: dict[str, str]) -> str:
        """A new repository with these files; its name."""
        name = f"ada/units-{next(self._numbers)}"
        self.world.user("ada")
        self.world.repository(name)
        self.world.install(self.app.id, name)
        self.world.push(name, files, user="ada")
        return name

    def job(self, name: str) -> dict[str, Any]:
        """The job of a repository, as the public JSON has it; empty: none yet, or no answer."""
        try:
            jobs = requests.get(f"{self.url}/api/v1/jobs", timeout=10).json()["jobs"]
        except requests.RequestException:
            return {}
        return next((dict(job) for job in jobs if job["repository"] == name), {})

    def reaches(self, name: str, step: str, timeout_s: float = 60) -> dict[str, Any]:
        """The job of a repository once it is at `step`."""
        wait_until(lambda: self.job(name).get("step") == step, timeout_s, f"{name} to be {step}", 0.2)
        return self.job(name)

    def check_run(self, name: str) -> dict[str, Any]:
        """The one check run at a repository's last commit, once it is completed."""

        def done() -> bool:
            runs = self.world.check_runs(name, "main", app_id=self.app.id)
            return bool(runs) and all(run["status"] == "completed" for run in runs)

        wait_until(done, 60, f"{name}'s check run to be completed", 0.2)
        (run,) = self.world.check_runs(name, "main", app_id=self.app.id)
        return run

    def is_anew(self, unit: str, than: str) -> None:
        """Wait until systemd has started a unit anew after its process `than`."""

        def anew() -> bool:
            state, pid = (self.machine.shown(unit, name) for name in ("ActiveState", "MainPID"))
            return state == "active" and pid not in ("0", than)

        wait_until(anew, ANEW_S, f"{unit} to be active again", 0.2)


@contextmanager
def in_service(scratch: Path) -> Iterator[Service]:
    """Everything installed and started, for as long as the context lasts."""
    image = base_image.tag()
    engine = Engine()
    base_image.ensure(engine)
    engine.close()
    machine = Machine()
    try:
        with serve_in_thread(scratch / "github", host=machine.gateway) as github:
            app = github.world.app(
                "raas",
                webhook_url=f"http://{machine.address}:8000/webhooks/github",
                webhook_secret=SECRET,
                manifest=ROOT / "app.yml",
                callback_urls=[f"http://{machine.address}:8000/sign-in/done"],
            )
            service = Service(machine, github.world, app)
            _robot(machine)
            _server(service)
            machine.load(image)
            _join(service)
            yield service
    finally:
        machine.close()


def commands(document: str, heading: str) -> list[str]:
    """The commands that a document gives below a heading, without their remarks."""
    text = (ROOT / document).read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    return [re.sub(r" {2,}# .*", "", line) for line in lines]


def as_server(machine: Machine, *words: str) -> str:
    """`raas-server …` with the settings of the unit, as the document does it; all it said."""
    text = (ROOT / "deploy/README.md").read_text()
    (line,) = re.findall(r"sudo systemd-run [^`]*raas-server doctor", text)
    command = line.replace("\n", " ").removesuffix("doctor") + " ".join(words)
    done = machine.attempt("sh", "-c", command)
    return done.stdout + done.stderr


def _robot(machine: Machine) -> None:
    machine.run("/opt/raas/src/hardware/install.sh", "--name", "goose", "--plant", "simulated")
    machine.run("systemctl", "start", "raas-controller")  # the next start of the machine would


def _server(service: Service) -> None:
    """deploy/README.md, line by line; what fetches from a network, and the proxy, are left out."""
    given = commands("deploy/README.md", "## With systemd: server and SQLite")
    for line in given[: given.index("journalctl -u raas-server")]:
        if "git clone" in line or "web_assets" in line:
            continue
        service.machine.run("sh", "-c", f"cd /opt/raas/src && {line}")
        if "server.env" in line:
            _fill_in(service)


def _fill_in(service: Service) -> None:
    machine, values = (
        service.machine,
        {
            "RAAS_PUBLIC_URL": service.url,
            "RAAS_BIND": "0.0.0.0:8000",
            "RAAS_OWNERS": "ada",
            "RAAS_GITHUB_API_URL": service.world.api_url,
            "RAAS_GITHUB_WEB_URL": service.world.url,
            "RAAS_GITHUB_APP_ID": str(service.app.id),
            "RAAS_GITHUB_PRIVATE_KEY": "/etc/raas/app.pem",
            "RAAS_GITHUB_WEBHOOK_SECRET": SECRET,
            "RAAS_GITHUB_CLIENT_ID": service.app.client_id,
            "RAAS_GITHUB_CLIENT_SECRET": service.app.client_secret,
        },
    )
    machine.write("/etc/raas/app.pem", service.app.private_key, "400")
    machine.run("chown", "raas-server", "/etc/raas/app.pem")
    kept = machine.run("grep", "-vE", f"^({'|'.join(values)})=", "/etc/raas/server.env")
    lines = [f"{name}={value}" for name, value in values.items()]
    machine.write("/etc/raas/server.env", "\n".join([kept, *lines, ""]), "600")


def _join(service: Service) -> None:
    """Step 12 of the robot's guide."""
    said = as_server(service.machine, "runner", "add", "goose", "--labels", "pendulum,goose")
    token = TOKEN.search(said)
    assert token is not None, said
    as_runner = ["sudo", "-u", "raas-runner", "-H", "raas-runner"]
    service.machine.run(*as_runner, "register", "--server", service.url, "--token", token[1])
    service.machine.run("systemctl", "restart", "raas-runner")
