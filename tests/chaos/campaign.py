"""Jobs pushed while everything around them fails; afterwards the calm in which all must have come right."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic, sleep

from demo.processes import wait_until
from demo.stack import Stack
from tests.chaos.programs import Program, choose
from tests.chaos.records import Records
from tests.chaos.troubles import Hit, Troubles

FAST = {"RAAS_LEASE_S": "4", "RAAS_HEARTBEAT_S": "0.5"}
"""A short lease, so that a lost runner is noticed while the campaign lasts."""
OWNERS = ("ada", "bob")
AHEAD = 4
"""Jobs that wait at once: the queue is never empty and never long."""
LOOK_S = 0.3
JOB_S = 12.0
"""What a job may take on average in the calm [s], the amendment of a lost one included."""


@dataclass
class Campaign:
    """One seeded run.

    Attributes:
        stack: The processes.
        seed: Where chance comes from; the timing of processes is not ours to repeat.
        jobs: How many to push.
        say: Gets a line for everything that happens.
    """

    stack: Stack
    seed: int
    jobs: int
    say: Callable[[str], None]
    programs: dict[str, Program] = field(default_factory=dict)
    commits: list[tuple[str, str]] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self.records = Records(self.stack.data / "server" / "raas.sqlite3")
        self._troubles = Troubles(self.stack, self.records, self._random)
        self._away: dict[str, tuple[float, Hit]] = {}
        self._acknowledged: dict[tuple[int, int], bytes] = {}
        self._began = monotonic()

    def run(self) -> None:
        """Push and trouble, then calm down."""
        self._repositories()
        next_trouble = monotonic() + 2.0
        while len(self.commits) < self.jobs or self._open() > AHEAD // 2:
            if len(self.commits) < self.jobs and self._open() < AHEAD:
                self._push()
            if monotonic() >= next_trouble:
                self._trouble()
                next_trouble = monotonic() + self._random.uniform(0.3, 2.5)
            self._mend_due()
            self.look()
            sleep(LOOK_S)
        self._calm()

    def look(self) -> None:
        """What was acknowledged stays as it is."""
        logs = self.records.logs()
        for key, before in self._acknowledged.items():
            if not logs.get(key, b"").startswith(before):
                self.problems.append(f"job {key[0]}-{key[1]}: acknowledged bytes of its log are gone")
        self._acknowledged = logs

    def _repositories(self) -> None:
        for owner in OWNERS:
            self.stack.world.user(owner)
            self.stack.world.repository(f"{owner}/spoon")
            self.stack.world.install(self.stack.app.id, f"{owner}/spoon")

    def _open(self) -> int:
        jobs = self.records.jobs()
        unknown = len(self.programs) - len({job.sha for job in jobs})
        return unknown + sum(job.status != "completed" for job in jobs)

    def _push(self) -> None:
        owner = self._random.choice(OWNERS)
        program = choose(self._random, len(self.commits))
        sha = self.stack.world.push(f"{owner}/spoon", program.files, user=owner)
        self.programs[sha] = program
        self.commits.append((f"{owner}/spoon", sha))
        self._tell(f"pushed {sha[:7]} to {owner}/spoon, meant to end as {program.conclusion}")

    def _trouble(self) -> None:
        hit = self._troubles.draw(set(self._away))
        if hit is None:
            return
        self.hits[hit.name] += 1
        self._tell(f"{hit.part}: {hit.what}" + (f" for {hit.lasts_s:.1f} s" if hit.mend else ""))
        if hit.mend is not None:
            self._away[hit.part] = (monotonic() + hit.lasts_s, hit)

    def _mend_due(self, *, all_of_them: bool = False) -> None:
        for part, (due, hit) in list(self._away.items()):
            if hit.mend is not None and (all_of_them or due <= monotonic()) and hit.ready():
                del self._away[part]
                hit.mend()
                self._tell(f"{part}: back")

    def _mend_everything(self) -> None:
        def mended() -> bool:
            self._mend_due(all_of_them=True)
            return not self._away

        wait_until(mended, 90, "every part to be back", LOOK_S)

    def _calm(self) -> None:
        """Nothing fails any more: every job comes to its end, and every check run agrees."""
        self._tell("calm")
        self.stack.world.clear_faults()
        self._mend_everything()
        self.stack.world.settle()
        self._redeliver_failed()
        patience = 60 + JOB_S * (self._open() + 1)
        try:
            wait_until(self._settled, patience, "every job to be concluded and reported", LOOK_S)
        except TimeoutError as error:
            self.problems.append(str(error))
        self._tell("every job has ended")
        self.look()
        self._restart_runner_cleanly()

    def _redeliver_failed(self) -> None:
        """What GitHub's page of deliveries offers a person: deliver once more what never arrived."""
        found = self.stack.world.deliveries()
        arrived = {one.guid for one in found if one.status == "OK"}
        failed = {one.guid: one.id for one in found if one.guid not in arrived}
        for delivery in failed.values():
            self.stack.world.redeliver(delivery)
        self._tell(f"{len(failed)} webhooks had never arrived")
        self.stack.world.settle()

    def _settled(self) -> bool:
        self.look()
        jobs = self.records.jobs()
        return (
            self.records.unprocessed() == 0
            and {job.sha for job in jobs} == set(self.programs)
            and all(job.status == "completed" and job.reported for job in jobs)
            and not list(self.held())
        )

    def held(self) -> list[Path]:
        """Folders of jobs that the runner still holds."""
        return list((self.stack.data / "runner" / "jobs").iterdir())

    def _restart_runner_cleanly(self) -> None:
        runner = self.stack.processes["runner"]
        runner.stop(timeout_s=40)
        ready = runner.log.read_text().count(" is ready")
        self.stack.start_runner()
        runner = self.stack.processes["runner"]
        wait_until(lambda: runner.log.read_text().count(" is ready") > ready, 30, "the runner to be ready")
        runner.signal(signal.SIGTERM)
        wait_until(lambda: not runner.running, 40, "the runner to drain")

    def _tell(self, what: str) -> None:
        self.say(f"{monotonic() - self._began:7.1f} s  {what}")
