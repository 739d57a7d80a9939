"""A server and a stand-in for GitHub, talking to each other over HTTP; the loops turned by hand."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from sqlalchemy import select, update
from werkzeug.serving import WSGIRequestHandler, make_server

from demo.github import Running, World, serve_in_thread
from github_app import checks, config, leases, services, triggers
from github_app.app import close, create_app
from github_app.background import lease_rules
from github_app.claims import ClaimRequest, claim
from github_app.config import Settings
from github_app.leases import Holder
from github_app.models import Delivery, Job, JobEvent, RateLimit, Repository, Runner, Turn
from github_app.services import Services
from runner.protocol import Finish, RobotReport

SECRET = "a webhook secret for tests"
SPOON = "alice/spoon"
PROGRAM = {"run.py": "print('hello')\n"}
MANIFEST = Path(__file__).parents[3] / "app.yml"
ROBOT = RobotReport(
    kind="pendulum", plant="simulated", env_ids=["RaasPendulum-v1"], healthy=True, passport="simulated"
)


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@dataclass
class Lab:
    """What a test works with."""

    github: Running
    world: World
    app: Flask
    here: Services
    url: str
    app_id: int
    installation: int

    def work(self) -> None:
        """Let every delivery arrive, and do what is due until nothing is."""
        self.world.settle()
        while triggers.process_pending(self.app) or checks.reconcile(self.app):
            pass

    def make_due(self) -> None:
        """As if every pause and lease were over."""
        past = datetime(2020, 1, 1, tzinfo=UTC)
        with self.here.db.write() as session:
            session.execute(update(Delivery).values(next_try_at=past))
            session.execute(update(Job).values(next_report_at=past))
            session.execute(update(Turn).values(next_at=past))

    def rate_limit_over(self) -> None:
        """As if the time were over for which GitHub said to wait."""
        with self.here.db.write() as session:
            session.execute(update(RateLimit).values(blocked_until=None))

    def rows(self, table: Any) -> list[Any]:
        """All rows of a table in the order they came."""
        with self.here.db.read() as session:
            return list(session.scalars(select(table).order_by(table.id)).unique())

    @property
    def jobs(self) -> list[Job]:
        return self.rows(Job)

    @property
    def outcomes(self) -> list[str]:
        """What became of the deliveries the server acts upon, except installations."""
        return [
            row.error or row.outcome or "waiting"
            for row in self.rows(Delivery)
            if row.event in ("push", "issue_comment", "repository")
        ]

    def check_runs(self, sha: str, full_name: str = SPOON) -> list[dict[str, Any]]:
        return self.world.check_runs(full_name, sha, app_id=self.app_id)

    def branch(self, full_name: str, name: str, sha: str) -> None:
        """Point a branch at a commit that is there, by a real `git push`."""
        with TemporaryDirectory() as folder:
            git = ("git", "-C", folder)
            url = self.world.clone_url(full_name, "alice")
            subprocess.run([*git, "clone", "-q", "--bare", url, folder], check=True)
            subprocess.run([*git, "push", "-q", url, f"{sha}:refs/heads/{name}"], check=True)

    def repository(self, full_name: str = SPOON) -> Repository:
        owner, name = full_name.split("/")
        found: list[Repository] = self.rows(Repository)
        return next(row for row in found if (row.owner, row.name) == (owner, name))

    def claim(self, runner: str = "goose") -> Holder:
        """A runner takes the next job."""
        with self.here.db.write() as session:
            known = session.scalar(select(Runner).where(Runner.name == runner))
            if known is None:
                known = Runner(name=runner, labels=["pendulum"], created_at=datetime.now(UTC))
                known.token_hash = runner
                session.add(known)
                session.flush()
            runner_id = known.id
        key = f"{len(self.rows(JobEvent)):032x}"
        with self.here.db.write() as session:
            job = claim(session, ClaimRequest(runner_id, key, ROBOT), lease_s=60.0)
            assert job is not None
            assert job.fence is not None
            return Holder(runner_id, job.id, job.fence)

    def start(self, holder: Holder) -> None:
        with self.here.db.write() as session:
            leases.start(session, holder, lease_rules(self.here))

    def finish(self, holder: Holder, **fields: Any) -> None:
        message = Finish.model_validate(
            {"fence": holder.fence, "conclusion": "success", "reason": "Done.", **fields}
        )
        with self.here.db.write() as session:
            leases.finish(session, holder, message, lease_rules(self.here))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(app: Flask, port: int = 0) -> Iterator[str]:
    """The app over HTTP; gives its address."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(data: Path, github: Running, made: Any, **more: str) -> dict[str, str]:
    """The settings of a server that belongs to an App of the stand-in."""
    return {
        "RAAS_DATA_DIR": str(data),
        "RAAS_OWNERS": "alice,lab",
        "RAAS_PUBLIC_URL": "http://raas.test",
        "RAAS_GITHUB_API_URL": github.api_url,
        "RAAS_GITHUB_WEB_URL": github.url,
        "RAAS_GITHUB_APP_ID": str(made.id),
        "RAAS_GITHUB_PRIVATE_KEY": made.private_key,
        "RAAS_GITHUB_WEBHOOK_SECRET": SECRET,
        **more,
    }


@contextmanager
def open_lab(folder: Path, **more: str) -> Iterator[Lab]:
    """Everything, with one repository of alice's that has a `run.py` and the App installed."""
    with serve_in_thread(folder / "github", conformance=True) as github:
        world = github.world
        made = world.app("raas", manifest=MANIFEST, webhook_secret=SECRET)
        settings = config.load(environment(folder / "raas", github, made, **more))
        with _running(settings) as app, serving(app) as url:
            world.app_webhook(made.id, f"{url}/webhooks/github")
            world.repository(SPOON)
            installation = world.install(made.id, SPOON)
            yield Lab(github, world, app, services.of(app), url, made.id, installation)
        assert github.hub.conformance is not None
        assert [str(violation) for violation in github.hub.conformance.violations] == []


@contextmanager
def _running(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    services.of(app).db.upgrade()
    try:
        yield app
    finally:
        close(app)
