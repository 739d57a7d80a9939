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
from tests.chaos.grounds import Plan, Site
from tests.chaos.programs import Program, choose
from tests.chaos.records import Records
from tests.chaos.troubles import DATABASE, Hit, Troubles

OWNERS = ("ada", "bob")
REPOSITORIES = tuple(f"{owner}/spoon-{number}" for number in range(6) for owner in OWNERS)
"""So many that a push seldom supersedes one that still waits."""
AHEAD = 4
"""Jobs that wait at once: the queue is never empty and never long."""
LOOK_S = 0.3
JOB_S = 20.0
"""What a job may take on average in the calm [s], the amendment of a lost one included."""
LAST_S = 60.0
"""How long troubles go on after the last push [s]."""
MEND_S = 180.0
"""What it may take until everything runs again, on a busy machine [s]."""


@dataclass
class Campaign:
    """One seeded run.

    Attributes:
        site: What runs.
        say: Gets a line for everything that happens.
        revived: Processes that ended unasked and were started again, as a service manager would.
    """

    site: Site
    say: Callable[[str], None]
    programs: dict[str, Program] = field(default_factory=dict)
    commits: list[tuple[str, str]] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    revived: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stack = self.site.stack
        self.records = Records(self.site.database_url)
        self._random = Random(self.plan.seed)
        self._away: dict[str, tuple[float, Hit]] = {}
        self._troubles = Troubles(self.site, self.records, self._random, self._away.keys())
        self._acknowledged: dict[tuple[int, int], bytes] = {}
        self._oldest_open = 0
        self._repositories = REPOSITORIES[: self.plan.jobs]
        self._began = self._pushed_at = monotonic()

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        return self.site.plan

    def run(self) -> None:
        """Push and trouble, then calm down."""
        self._people()
        next_trouble = monotonic() + 2.0
        while self._goes_on():
            if DATABASE not in self._away:
                if len(self.commits) < self.plan.jobs and self._open() < AHEAD * self.plan.runners:
                    self._push()
                self.look()
            if monotonic() >= next_trouble:
                self._trouble()
                next_trouble = monotonic() + self._random.uniform(0.3, self.plan.pause_s)
            if self._mend_due():  # a slow start took time in which nothing else could fail: not at once again
                next_trouble = max(next_trouble, monotonic() + self._random.uniform(0.3, self.plan.pause_s))
            self._revive()
            sleep(LOOK_S)
        self._calm()

    def _goes_on(self) -> bool:
        """Until the last jobs are under way, and not for ever where troubles keep them from ending."""
        if len(self.commits) < self.plan.jobs:
            self._pushed_at = monotonic()
            return True
        return self._open() > AHEAD // 2 and monotonic() < self._pushed_at + LAST_S

    def look(self, *, at_all: bool = False) -> None:
        """What was acknowledged stays as it is; of jobs that ended before the last look, only `at_all`."""
        first = 0 if at_all else self._oldest_open
        unfinished = [job.id for job in self.records.jobs() if job.status != "completed"]
        self._oldest_open = min(unfinished, default=first)
        logs = self.records.logs(first)
        for key, before in self._acknowledged.items():
            if key[0] >= first and not logs.get(key, b"").startswith(before):
                self.problems.append(f"job {key[0]}-{key[1]}: acknowledged bytes of its log are gone")
        self._acknowledged |= logs

    def held(self) -> list[Path]:
        """Folders of jobs that the runners still hold."""
        return list(self.stack.data.glob("runner*/jobs/*"))

    def _people(self) -> None:
        for owner in OWNERS:
            self.stack.world.user(owner)
        for name in self._repositories:
            self.stack.world.repository(name)
            self.stack.world.install(self.stack.app.id, name)

    def _open(self) -> int:
        """Jobs that have not ended; while nobody can tell, as many as there may be."""
        if DATABASE in self._away:
            return AHEAD * self.plan.runners
        jobs = self.records.jobs()
        unknown = len(self.programs) - len({job.sha for job in jobs})
        return unknown + sum(job.status != "completed" for job in jobs)

    def _push(self) -> None:
        name = self._repositories[len(self.commits) % len(self._repositories)]
        program = choose(self._random, len(self.commits))
        sha = self.stack.world.push(name, program.files, user=name.partition("/")[0])
        self.programs[sha] = program
        self.commits.append((name, sha))
        self._tell(f"pushed {sha[:7]} to {name}, meant to end as {program.conclusion}")

    def _trouble(self) -> None:
        hit = self._troubles.draw()
        if hit is None:
            return
        self.hits[hit.name] += 1
        self._tell(f"{hit.part}: {hit.what}" + (f" for {hit.lasts_s:.1f} s" if hit.mend else ""))
        if hit.mend is not None:
            self._away[hit.part] = (monotonic() + hit.lasts_s, hit)

    def _mend_due(self, *, all_of_them: bool = False) -> bool:
        """Mend what has been away for long enough; whether there was such a thing."""
        mended = False
        for part, (due, hit) in list(self._away.items()):
            if hit.mend is not None and (all_of_them or due <= monotonic()) and hit.ready():
                hit.mend()
                del self._away[part]
                self._tell(f"{part}: back")
                mended = True
        return mended

    def _revive(self) -> None:
        """Start again what ended unasked; only a runner has reason to (its Docker engine is away)."""
        for name, process in list(self.stack.processes.items()):
            if process.running or name in self._away or not self._troubles.may_start(name):
                continue
            if not name.startswith("runner"):
                self.problems.append(f"{name} ended by itself: {process.tail(5)}")
            self.revived[name] += 1
            self._tell(f"{name}: had ended by itself, started again")
            self._troubles.start(name)

    def _everything_runs(self) -> bool:
        self._mend_due(all_of_them=True)
        self._revive()
        return not self._away

    def _calm(self) -> None:
        """Nothing fails any more: every job comes to its end, and every check run agrees."""
        self._tell("calm")
        self.stack.world.clear_faults()
        wait_until(self._everything_runs, MEND_S, "every part to be back", LOOK_S)
        self.stack.world.settle(MEND_S)
        self._redeliver_failed()
        patience = MEND_S + JOB_S * (self._open() + 1)
        try:
            wait_until(self._settled, patience, "every job to be concluded and reported", LOOK_S)
        except TimeoutError as error:
            self.problems.append(str(error))
        self._tell("every job has ended")
        self.look(at_all=True)
        for name in self.site.names("runner"):
            self._restart_cleanly(name)

    def _redeliver_failed(self) -> None:
        """What GitHub's page of deliveries offers a person: deliver once more what never arrived."""
        found = self.stack.world.deliveries()
        arrived = {one.guid for one in found if one.status == "OK"}
        failed = {one.guid: one.id for one in found if one.guid not in arrived}
        for delivery in failed.values():
            self.stack.world.redeliver(delivery)
        self._tell(f"{len(failed)} webhooks had never arrived")
        self.stack.world.settle(MEND_S)

    def _settled(self) -> bool:
        self._revive()
        self.look()
        jobs = self.records.jobs()
        return (
            all(delivery.processed for delivery in self.records.deliveries().values())
            and {job.sha for job in jobs} == set(self.programs)
            and all(job.status == "completed" and job.reported for job in jobs)
            and not self.held()
        )

    def _restart_cleanly(self, name: str) -> None:
        """A runner that starts with nothing to do clears away what may be left, and drains."""
        self.stack.processes[name].stop(timeout_s=90)
        ready = self.stack.processes[name].log.read_text().count(" is ready")
        self._troubles.start(name)
        runner = self.stack.processes[name]
        wait_until(lambda: runner.log.read_text().count(" is ready") > ready, 90, f"{name} to be ready")
        runner.signal(signal.SIGTERM)
        wait_until(lambda: not runner.running, 90, f"{name} to drain")

    def _tell(self, what: str) -> None:
        self.say(f"{monotonic() - self._began:7.1f} s  {what}")
