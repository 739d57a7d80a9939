"""What goes wrong: each trouble takes one part away and says when and how it comes back."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from demo.stack import Stack
from github_app import queue
from github_app.db import Database
from runner.sandbox import OWNER_LABEL
from tests.chaos.records import JobRow, Records

Mend = Callable[[], None]


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
    """Draws troubles for the parts of a stack.

    Args:
        stack: The stack.
        records: Its server's database.
        random: Where chance comes from.
    """

    def __init__(self, stack: Stack, records: Records, random: Random) -> None:
        self._stack = stack
        self._records = records
        self._random = random
        self._draws: dict[str, Callable[[], Hit | None]] = {
            "server killed": lambda: self._killed("server", stack.start_server, 4.0),
            "server restarted": lambda: self._restarted("server", stack.start_server),
            "server frozen": lambda: self._frozen("server", 6.0),
            "runner killed": lambda: self._killed("runner", stack.start_runner, 6.0),
            "runner drained": lambda: self._restarted("runner", stack.start_runner),
            "runner frozen": lambda: self._frozen("runner", 8.0),
            "controller killed": lambda: self._killed("controller", stack.start_controller, 2.0),
            "controller frozen": lambda: self._frozen("controller", 2.0),
            "container killed": lambda: self._container(["kill"], keeper=False),
            "container removed": lambda: self._container(["rm", "-f"], keeper=False),
            "keeper removed": lambda: self._container(["rm", "-f"], keeper=True),
            "GitHub fails": self._github,
            "webhooks repeated": self._repeated,
            "job cancelled": self._cancelled,
        }

    def draw(self, away: set[str]) -> Hit | None:
        """One more trouble, none for a part that is away already; None where it found nothing to hit."""
        name = self._random.choice(list(self._draws))
        if name.split()[0] in away:
            return None
        hit = self._draws[name]()
        return None if hit is None else replace(hit, name=name)

    def _killed(self, part: str, start: Mend, most_s: float) -> Hit:
        self._stack.processes[part].kill()
        return Hit(part, "killed", self._random.uniform(0, most_s), start)

    def _restarted(self, part: str, start: Mend) -> Hit:
        process = self._stack.processes[part]
        process.signal(signal.SIGTERM)
        lasts_s = self._random.uniform(0, 3)
        return Hit(part, "told to end", lasts_s, start, ready=lambda: not process.running)

    def _frozen(self, part: str, most_s: float) -> Hit:
        process = self._stack.processes[part]
        process.signal(signal.SIGSTOP)
        return Hit(part, "frozen", self._random.uniform(0.2, most_s), lambda: process.signal(signal.SIGCONT))

    def _container(self, action: list[str], *, keeper: bool) -> Hit | None:
        found = [name for name in containers(self._stack) if name.endswith("-keeper") is keeper]
        if not found:
            return None
        name = self._random.choice(found)
        # it may be gone by itself in this moment
        subprocess.run(["docker", *action, name], capture_output=True, check=False)
        return Hit("container", f"{' '.join(action)} {name}")

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
        job = self._some(lambda job: job.status != "completed")
        if job is None or self._random.random() < 0.5:
            return None
        database = Database(f"sqlite:///{self._records.path}")
        with database.write() as session:
            queue.cancel(session, job.id, "ada cancelled it", by="ada")
        database.engine.dispose()
        return Hit("job", f"{job.id} cancelled while {job.status}")

    def _some(self, wanted: Callable[[JobRow], bool]) -> JobRow | None:
        found = [job for job in self._records.jobs() if wanted(job)]
        return self._random.choice(found) if found else None


def containers(stack: Stack) -> list[str]:
    """Names of all containers of the stack's runner."""
    return _listed(stack, "ps", "-a", "--format", "{{.Names}}")


def volumes(stack: Stack) -> list[str]:
    """Names of all volumes of the stack's runner."""
    return _listed(stack, "volume", "ls", "--format", "{{.Name}}")


def _listed(stack: Stack, *command: str) -> list[str]:
    owner = (stack.data / "runner" / "owner").read_text()
    label = ["--filter", f"label={OWNER_LABEL}={owner}"]
    return subprocess.run(
        ["docker", *command, *label], capture_output=True, text=True, check=True
    ).stdout.split()
