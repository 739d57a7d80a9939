"""A stack and what stands around it: database, store, Docker engine, and the lines between them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from demo.processes import Process
from demo.stack import Stack, called
from runner import base_image
from tests import postgres, s3_server
from tests.chaos.line import Line
from tests.dockerd import Dockerd

FAST = {"RAAS_LEASE_S": "4", "RAAS_HEARTBEAT_S": "0.5", "RAAS_WORKERS": "1"}
"""A short lease, so that a lost runner is noticed while the campaign lasts; servers that start fast."""
ROBOTS = ("goose", "swan", "heron", "crane")


@dataclass(frozen=True)
class Plan:
    """What a campaign is made of.

    Attributes:
        seed: Where chance comes from; the timing of processes is not ours to repeat.
        jobs: How many to push.
        postgresql: A cluster of its own in the place of SQLite; it is killed too.
        servers: How many; more than one needs PostgreSQL.
        runners: How many, each with a robot and a controller.
        s3: An S3 in the place of the local folder; it is killed too.
        own_docker: A Docker engine of its own; it is killed too.
        lines: Runners and webhooks reach servers by lines that are stalled, cut and led elsewhere.
        pause_s: Longest pause between two troubles [s].
    """

    seed: int
    jobs: int
    postgresql: bool = False
    servers: int = 1
    runners: int = 1
    s3: bool = False
    own_docker: bool = False
    lines: bool = False
    pause_s: float = 2.5

    def __post_init__(self) -> None:
        if self.servers > 1 and not self.postgresql:
            raise ValueError("several servers share PostgreSQL; add --database postgresql")
        if not 1 <= self.runners <= len(ROBOTS):
            raise ValueError(f"there are 1 to {len(ROBOTS)} runners")

    def with_everything(self) -> Plan:
        """The same with all that there is."""
        return replace(self, postgresql=True, servers=2, runners=2, s3=True, own_docker=True, lines=True)


class ObjectStore:
    """An S3 that can be killed, its files in `root`."""

    def __init__(self, root: Path, log: Path) -> None:
        self._log = log
        (root / "bucket").mkdir(parents=True, exist_ok=True)
        self._command, self.url = s3_server.command(root)
        self.process: Process
        self.start()

    def start(self) -> None:
        """Start it (again) and wait until it listens."""
        self.process = Process("s3", self._command, self._log)
        self.process.ready(lambda: s3_server.listens(self.url), s3_server.START_S)

    def close(self) -> None:
        """End it, whichever process it is by now."""
        self.process.stop()

    def settings(self) -> dict[str, str]:
        """What the server is told of it."""
        ours = {f"RAAS_{name}": value for name, value in s3_server.settings(self.url).items()}
        return ours | s3_server.CREDENTIALS


class Postgres:
    """A PostgreSQL that can be killed."""

    def __init__(self) -> None:
        self._cluster = postgres.Cluster()
        self.url = self._cluster.database()

    def kill(self) -> None:
        """SIGKILL to its first process; the others notice and end by themselves."""
        self._cluster.stop(signal.SIGKILL)

    def start(self) -> None:
        """Start it again, once those others are gone: until then it refuses."""
        deadline = time.monotonic() + 60
        while not self._cluster.start_once():
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL did not start again within 60 s")
            time.sleep(0.1)

    def end_connections(self) -> int:
        """End those of all clients; how many there were."""
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        clients = " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            return len(connection.execute(ended + clients).fetchall())

    def close(self) -> None:
        """Nothing of it is left."""
        self._cluster.close()


@dataclass
class Site:
    """Everything that runs. What a plan leaves out is None, or empty."""

    plan: Plan
    stack: Stack
    database: Postgres | None = None
    store: ObjectStore | None = None
    docker: Dockerd | None = None
    lines: dict[str, Line] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """Where the servers' database is."""
        return self.database.url if self.database else f"sqlite:///{self.stack.data}/server/raas.sqlite3"

    def names(self, kind: str) -> list[str]:
        """Of all processes of a kind."""
        return [called(kind, number) for number in range(1, self.count(kind) + 1)]

    def count(self, kind: str) -> int:
        """How many of a kind there are."""
        return self.plan.servers if kind == "server" else self.plan.runners


@contextmanager
def site(plan: Plan, data: Path) -> Iterator[Site]:
    """All of a plan, started; nothing of it runs afterwards."""
    with ExitStack() as ending:
        settings, environment = dict(FAST), {"TMPDIR": str(data / "tmp")}
        (data / "tmp").mkdir(parents=True)
        database, store, docker = None, None, None
        if plan.postgresql:
            database = Postgres()
            ending.callback(database.close)
            settings["RAAS_DATABASE_URL"] = database.url
        if plan.s3:
            store = ObjectStore(data / "s3", data / "logs" / "s3.log")
            ending.callback(store.close)
            settings |= store.settings()
        if plan.own_docker:
            docker = Dockerd(data / "logs" / "dockerd.log", base_image.tag())
            ending.callback(docker.close)
            environment["DOCKER_HOST"] = docker.host
        stack = Stack(
            data, settings, environment, ROBOTS[: plan.runners], servers=plan.servers, conformance=True
        )
        lines = _lines(stack, ending) if plan.lines else {}
        stack.ways = {name: line.url for name, line in lines.items()}
        ending.callback(stack.stop)
        stack.start()
        yield Site(plan, stack, database, store, docker, lines)


def _lines(stack: Stack, ending: ExitStack) -> dict[str, Line]:
    """One for GitHub and one for each runner, to the servers in turn."""
    users = ["github", *(called("runner", number) for number in range(1, len(stack.robots) + 1))]
    lines = {}
    for number, user in enumerate(users):
        lines[user] = Line(stack.server_ports[number % len(stack.server_ports)])
        ending.callback(lines[user].close)
    return lines
