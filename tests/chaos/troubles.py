"""What goes wrong: each trouble takes one part away and says when and how it comes back."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from random import Random

from demo.stack import Stack
from github_app import queue
from github_app.db import Database
from runner.sandbox import OWNER_LABEL
from tests.chaos.grounds import Site
from tests.chaos.records import Records

Mend = Callable[[], None]

DATABASE, STORE, DOCKER = "database", "store", "docker"


@dataclass(frozen=True)
class Hit:
    """A trouble that happened: to what, for how long [s], and how that is mended, once `ready`."""

    part: str
    what: str
    lasts_s: float = 0.0
    mend: Mend | None = None
    ready: Callable[[], bool] = lambda: True
    name: str = ""


class Troubles:
    """Draws troubles for the parts of a site.

    Args:
        site: The site.
        records: Its servers' database.
        random: Where chance comes from.
        away: The parts that are away, as it is at any time.
    """

    def __init__(self, site: Site, records: Records, random: Random, away: Collection[str]) -> None:
        self._site = site
        self._stack = site.stack
        self._records = records
        self._random = random
        self._away = away
        self._draws = self._everywhere() | self._around()

    def draw(self) -> Hit | None:
        """One more trouble, none for a part that is away already; None where it found nothing to hit."""
        name = self._random.choice(list(self._draws))
        hit = self._draws[name]()
        return None if hit is None else replace(hit, name=name)

    def start(self, process: str) -> None:
        """Start one of the stack's processes again."""
        kind, _, number = process.partition("-")
        starts = {
            "server": self._stack.start_server,
            "runner": self._stack.start_runner,
            "controller": self._stack.start_controller,
        }
        starts[kind](int(number or 1))

    def may_start(self, process: str) -> bool:
        """Whether what it needs to start is there: a service manager would try until it is."""
        return not (process.startswith("server") and {DATABASE, STORE} & set(self._away))

    def _everywhere(self) -> dict[str, Callable[[], Hit | None]]:
        return {
            "server killed": lambda: self._killed("server", 4.0),
            "server restarted": lambda: self._restarted("server"),
            "server frozen": lambda: self._frozen("server", 6.0),
            "runner killed": lambda: self._killed("runner", 6.0),
            "runner drained": lambda: self._restarted("runner"),
            "runner frozen": lambda: self._frozen("runner", 8.0),
            "controller killed": lambda: self._killed("controller", 2.0),
            "controller restarted": lambda: self._restarted("controller"),
            "controller frozen": lambda: self._frozen("controller", 2.0),
            "container killed": lambda: self._container(["kill"], keeper=False),
            "container removed": lambda: self._container(["rm", "-f"], keeper=False),
            "keeper removed": lambda: self._container(["rm", "-f"], keeper=True),
            "GitHub fails": self._github,
            "webhooks repeated": self._repeated,
            "job cancelled": self._cancelled,
        }

    def _around(self) -> dict[str, Callable[[], Hit | None]]:
        """Those of what not every plan has."""
        found: dict[str, Callable[[], Hit | None]] = {}
        if self._site.database is not None:
            found["database killed"] = self._database_killed
            found["database connections ended"] = self._connections_ended
        if self._site.store is not None:
            found["store killed"] = self._store_killed
        if self._site.docker is not None:
            found["docker killed"] = lambda: self._docker(signal.SIGKILL, "killed")
            found["docker restarted"] = lambda: self._docker(signal.SIGTERM, "told to end")
        if self._site.lines:
            found["line cut"] = self._line_cut
            found["line stalled"] = self._line_stalled
            found["line led elsewhere"] = self._line_led_elsewhere
        return found

    def _one(self, names: list[str]) -> str | None:
        """One that is not away."""
        there = [name for name in names if name not in self._away]
        return self._random.choice(there) if there else None

    def _killed(self, kind: str, most_s: float) -> Hit | None:
        if (name := self._one(self._site.names(kind))) is None:
            return None
        self._stack.processes[name].kill()
        return self._to_be_started(name, "killed", most_s)

    def _restarted(self, kind: str) -> Hit | None:
        if (name := self._one(self._site.names(kind))) is None:
            return None
        self._stack.processes[name].signal(signal.SIGTERM)
        return self._to_be_started(name, "told to end", 3.0)

    def _to_be_started(self, name: str, what: str, most_s: float) -> Hit:
        process = self._stack.processes[name]
        return Hit(
            name,
            what,
            self._random.uniform(0, most_s),
            lambda: self.start(name),
            ready=lambda: not process.running and self.may_start(name),
        )

    def _frozen(self, kind: str, most_s: float) -> Hit | None:
        if (name := self._one(self._site.names(kind))) is None:
            return None
        process = self._stack.processes[name]
        process.signal(signal.SIGSTOP)
        return Hit(name, "frozen", self._random.uniform(0.2, most_s), lambda: process.signal(signal.SIGCONT))

    def _container(self, action: list[str], *, keeper: bool) -> Hit | None:
        if DOCKER in self._away:
            return None
        found = [name for name in containers(self._stack) if name.endswith("-keeper") is keeper]
        if not found:
            return None
        name = self._random.choice(found)
        # it may be gone by itself in this moment
        _docker(self._stack, *action, name)
        return Hit("container", f"{' '.join(action)} {name}")

    def _docker(self, number: signal.Signals, what: str) -> Hit | None:
        docker = self._site.docker
        if docker is None or DOCKER in self._away:
            return None
        process = docker.process
        process.signal(number)
        lasts_s = self._random.uniform(0, 4)
        return Hit(DOCKER, what, lasts_s, docker.start, ready=lambda: not process.running)

    def _database_killed(self) -> Hit | None:
        database = self._site.database
        if database is None or DATABASE in self._away:
            return None
        database.kill()
        return Hit(DATABASE, "killed", self._random.uniform(0, 4), database.start)

    def _connections_ended(self) -> Hit | None:
        database = self._site.database
        if database is None or DATABASE in self._away:
            return None
        return Hit(DATABASE, f"{database.end_connections()} connections ended")

    def _store_killed(self) -> Hit | None:
        store = self._site.store
        if store is None or STORE in self._away:
            return None
        store.process.kill()
        return Hit(STORE, "killed", self._random.uniform(0, 5), store.start)

    def _line_cut(self) -> Hit | None:
        if (user := self._line()) is None:
            return None
        line = self._site.lines[user]
        line.cut()
        return Hit(f"line of {user}", "cut", self._random.uniform(0.2, 8), line.mend)

    def _line_stalled(self) -> Hit | None:
        if (user := self._line()) is None:
            return None
        line = self._site.lines[user]
        line.stall()
        return Hit(f"line of {user}", "stalled", self._random.uniform(0.2, 8), line.mend)

    def _line_led_elsewhere(self) -> Hit | None:
        if (user := self._line()) is None:
            return None
        line, number = self._site.lines[user], self._random.randint(1, self._site.plan.servers)
        line.target = self._stack.server_ports[number - 1]
        line.reset()
        return Hit(f"line of {user}", f"led to server {number}")

    def _line(self) -> str | None:
        there = [user for user in self._site.lines if f"line of {user}" not in self._away]
        return self._random.choice(there) if there else None

    def _github(self) -> Hit:
        path = self._random.choice(["/check-runs", "/tarball", "/contents", "/access_tokens", ".*"])
        kind = self._random.choice(["500", "lost answer", "dropped", "slow", "limited"])
        fields = {
            "500": {"status": 500},
            "lost answer": {"drop": True, "applied": True},
            "dropped": {"drop": True},
            "slow": {"status": 0, "delay_s": 3.0},
            "limited": {"status": 403, "headers": {"retry-after": "2"}},
        }[kind]
        times = self._random.randint(1, 4)
        self._stack.world.fault(path=path, times=times, **fields)
        return Hit("GitHub", f"{kind}, {times} times, at {path}")

    def _repeated(self) -> Hit | None:
        found = [one.id for one in self._stack.world.deliveries() if one.status is not None]
        if not found:
            return None
        again = self._random.choices(found, k=min(4, len(found)))  # any order, some of them twice
        for delivery in again:
            self._stack.world.redeliver(delivery)
        return Hit("GitHub", f"delivers {len(again)} webhooks again")

    def _cancelled(self) -> Hit | None:
        if DATABASE in self._away or self._random.random() < 0.5:
            return None
        found = [job for job in self._records.jobs() if job.status != "completed"]
        if not found:
            return None
        job = self._random.choice(found)
        database = Database(self._site.database_url)
        with database.write() as session:
            queue.cancel(session, job.id, "ada cancelled it", by="ada")
        database.close()
        return Hit("job", f"{job.id} cancelled while {job.status}")


def containers(stack: Stack) -> list[str]:
    """Names of all containers of the stack's runners."""
    return _listed(stack, "ps", "-a", "--format", "{{.Names}}")


def volumes(stack: Stack) -> list[str]:
    """Names of all volumes of the stack's runners."""
    return _listed(stack, "volume", "ls", "--format", "{{.Name}}")


def _listed(stack: Stack, *command: str) -> list[str]:
    names: list[str] = []
    for file in stack.data.glob("runner*/owner"):
        label = f"label={OWNER_LABEL}={file.read_text()}"
        done = _docker(stack, *command, "--filter", label)
        done.check_returncode()
        names += done.stdout.split()
    return names


def _docker(stack: Stack, *command: str) -> subprocess.CompletedProcess[str]:
    """The `docker` command against the engine that the runners use."""
    host = stack.environment.get("DOCKER_HOST")
    where = ["--host", host] if host else []
    return subprocess.run(["docker", *where, *command], capture_output=True, text=True, check=False)
