"""What a server process does without being asked: work on deliveries, publish, reap, hand out jobs.

Each loop runs at once when it is woken, again at once while there was something to do, and otherwise every
`interval_s`, so a lost wake-up costs that long. An exception is logged and the loop goes on after a pause.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask

from github_app import (
    ahead,
    checks,
    claims,
    expiry,
    leases,
    passport_reading,
    redelivery,
    retention,
    services,
    telemetry,
    triggers,
    verification,
)
from github_app.bests_before import PAUSE_S, BestsBefore
from github_app.moves import utc_now
from github_app.notices import Notices
from github_app.services import Services

log = logging.getLogger(__name__)

IDLE_S = 1.0
ROUNDS_S = 30.0
"""How often a process asks whether a periodic work is its turn [s]."""
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses after the first, second, … failure in a row [s]."""
STOP_TOPIC = "stop"
CALLS_MAX = 32
"""Runners called to one lane at a time; each claim calls more, as long as jobs wait."""


@dataclass(frozen=True)
class Loop:
    """One kind of work.

    Attributes:
        name: For the log.
        topics: What wakes it.
        interval_s: How long it sleeps at most [s].
        work: Does what is due and returns how many things it handled.
    """

    name: str
    topics: tuple[str, ...]
    interval_s: float
    work: Callable[[], int]


class Background:
    """The loops of one server process.

    Args:
        app: Made by `create_app`.
    """

    def __init__(self, app: Flask) -> None:
        here = services.of(app)
        self._services = here
        self._stopping = threading.Event()
        self._notices = None if here.db.is_sqlite else Notices(here.db.url, here.wakeups)
        if self._notices is not None:
            here.telemetry.relay(self._notices.subscribe(telemetry.CHANNEL, here.telemetry.heard))
        reaper = Reaper(here)
        bests = BestsBefore(here.db)
        loops = (
            Loop("deliveries", ("deliveries",), IDLE_S, lambda: triggers.process_pending(app)),
            Loop("checks", ("checks",), IDLE_S, lambda: checks.reconcile(app)),
            Loop("queue", ("queue",), IDLE_S, lambda: offer_jobs(here)),
            Loop("redelivery", (), ROUNDS_S, lambda: redelivery.redeliver(here)),
            Loop("uploads", (verification.TOPIC,), ROUNDS_S, lambda: verification.sweep(here)),
            Loop("expiry", (), ROUNDS_S, lambda: expiry.sweep(here)),
            Loop("passports", (), ROUNDS_S, lambda: passport_reading.learn(here)),
            Loop("bests", (), PAUSE_S, bests.work),
            Loop("retention", (), retention.INTERVAL_S, lambda: retention.sweep(here)),
            Loop("reaper", (), min(5.0, here.settings.lease_s / 4), reaper.work),
        )
        self._threads = [
            threading.Thread(target=self._run, args=(loop,), name=loop.name, daemon=True) for loop in loops
        ]

    def start(self) -> None:
        """Begin."""
        if self._services.db.is_sqlite:  # the only process: what its predecessor held is free
            triggers.LEASES.recover(self._services.db)
            checks.LEASES.recover(self._services.db)
        if self._notices is not None:
            self._notices.start()
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Send waiting runners away and let every loop end what it is doing, for so long [s] at most."""
        self._stopping.set()
        self._services.dispatcher.close()
        self._services.wakeups.notify_here(STOP_TOPIC)
        for thread in self._threads:
            thread.join(timeout_s)
        if self._notices is not None:
            self._notices.stop()

    def _run(self, loop: Loop) -> None:
        failures = 0
        with self._services.wakeups.listen(*loop.topics, STOP_TOPIC) as ear:
            while not self._stopping.is_set():
                try:
                    handled = loop.work()
                except Exception:
                    pause_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                    failures += 1
                    log.exception("the loop `%s` failed; it goes on in %g s", loop.name, pause_s)
                    self._stopping.wait(pause_s)
                else:
                    failures = 0
                    if not handled:
                        ear.wait(loop.interval_s)


def offer_jobs(here: Services) -> int:
    """Call waiting runners to the lanes that hold jobs, be they claimed ahead. They take what they find."""
    if len(here.dispatcher):
        with here.db.read() as session:
            waiting = Counter(claims.waiting_jobs(session, CALLS_MAX))
            waiting.update(ahead.lanes(session))
        here.dispatcher.offer(waiting)
    return 0


def lease_rules(here: Services) -> leases.LeaseRules:
    """The settings that leases depend on."""
    limits = here.settings
    return leases.LeaseRules(limits.lease_s, limits.prepare_s, limits.log_bytes_max)


class Reaper:
    """Ends lapsed leases, but not those that could not be renewed because of us.

    While this process was down, stopped or without its database, heartbeats went unanswered: after a start, a
    failure or a gap, runners have a full lease to make up for it.
    """

    def __init__(self, here: Services) -> None:
        self._services = here
        self._lease = timedelta(seconds=here.settings.lease_s)
        self._quiet_until = utc_now() + self._lease
        self._last: datetime = utc_now()

    def work(self) -> int:
        """Reap once; returns how many jobs were moved."""
        now = utc_now()
        if now - self._last > self._lease / 2:
            self._quiet_until = now + self._lease
        if now < self._quiet_until:
            with self._services.db.read() as session:
                session.connection()  # a database that is away now must start the quiet time anew
            self._last = now
            return 0
        with self._services.db.write() as session:
            moved = leases.reap(session, self._services.db, lease_rules(self._services), now=now)
        self._last = utc_now()
        if moved:
            log.warning("lost the runners of jobs %s", ", ".join(map(str, moved)))
        return len(moved)
