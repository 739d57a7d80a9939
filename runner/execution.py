"""One container run to its end: its output read, its time kept, its end explained."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from runner.engine_errors import SandboxError
from runner.happenings import Happenings, Kind
from runner.hardening import ContainerSpec, Exit
from runner.joblog import JobLog
from runner.results import Ran, Stop
from runner.sandbox import Engine, Job

GRACE_S = 2
"""Between asking a program to end and ending it [s]."""
AFTER_SESSION_S = 10.0
"""How long a program may go on after the robot was taken from it [s]: to write its files."""
LOG_RATE = 2_000_000
"""Output that is read in a second, bytes; a program that prints more is slowed down."""
LOG_BURST = 1_000_000
GLANCE_S = 1.0
"""How often a running container is looked at [s]."""

_OURS = (Kind.EXITED, Kind.ENGINE_FAILED)
_WATCHED = (Kind.EXITED, Kind.ENGINE_FAILED, Kind.HOST_STOPS, Kind.CANCELLED)
_STOPS = {Kind.ENGINE_FAILED: Stop.ENGINE, Kind.HOST_STOPS: Stop.HOST, Kind.CANCELLED: Stop.CANCEL}


Note = Callable[[Ran], None]
"""Told of a container's end before anything is done about it, and again once it is known how it ended."""


def execute(
    engine: Engine,
    spec: ContainerSpec,
    log: JobLog,
    happenings: Happenings,
    timeout_s: float,
    *,
    note: Note = lambda _ran: None,
) -> Ran:
    """Run a container until it ends, its time is over or something happens.

    What `note` is told is what a runner that dies at any moment later must know: the container is gone then.

    Raises:
        SandboxError: It could not be started.
    """
    happenings.forget(*_OURS)
    job = engine.create(spec)
    try:
        output = job.output()
        reader = _thread(lambda: _copy(output, log))
        job.start()
        exits: list[Exit] = []
        waiter = _thread(lambda: _wait(job, happenings, exits))
        ran = _watch(job, log, happenings, time.monotonic() + timeout_s)
        if ran.stopped is not None:
            note(ran)
        if ran.stopped is not None or happenings.seen(Kind.EXITED) is None:
            _end(job, ran)
        waiter.join(30.0)
        reader.join(5.0)
        ran.exit = exits[0] if exits else None
        if ran.stopped is None and not engine.takes_calls():
            # An engine that ends in good order asks its containers to end, and they may do so quietly.
            ran.stopped, ran.detail = Stop.ENGINE, "Docker was stopped."
        note(ran)
    finally:
        with contextlib.suppress(SandboxError):
            job.remove()
    return ran


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _copy(output: Iterator[bytes], log: JobLog) -> None:
    """Read no faster than `LOG_RATE`: the program waits, and neither Docker nor we burn the host's time."""
    allowance, then = float(LOG_BURST), time.monotonic()
    for data in output:
        log.write(data)
        now = time.monotonic()
        allowance = min(LOG_BURST, allowance + (now - then) * LOG_RATE) - len(data)
        then = now
        if allowance < 0 and not log.flooded:
            time.sleep(-allowance / LOG_RATE)


def _wait(job: Job, happenings: Happenings, exits: list[Exit]) -> None:
    try:
        exits.append(job.wait())
    except SandboxError as error:
        happenings.post(Kind.ENGINE_FAILED, str(error))
    else:
        happenings.post(Kind.EXITED)


def _watch(job: Job, log: JobLog, happenings: Happenings, deadline: float) -> Ran:
    """Until the container has ended, or must."""
    ran = Ran()
    leave_by: float | None = None
    while True:
        now = time.monotonic()
        kind = happenings.wait(_WATCHED, min(deadline, now + GLANCE_S))
        if kind is Kind.EXITED:
            return ran
        if kind is not None:
            ran.stopped, ran.detail = _STOPS[kind], happenings.seen(kind) or ""
            return ran
        if log.flooded or time.monotonic() >= deadline:
            ran.stopped = Stop.FLOOD if log.flooded else Stop.TIMEOUT
            return ran
        if happenings.seen(Kind.SESSION_ENDED) not in (None, "client_left"):
            leave_by = leave_by or now + AFTER_SESSION_S
            if now >= leave_by:
                return ran
        if (usage := job.usage()) is not None:
            ran.pids = max(ran.pids, usage.pids)


def _end(job: Job, ran: Ran) -> None:
    """Ask, then end it; the last glance shows what it was busy with."""
    if (usage := job.usage()) is not None:
        ran.pids = max(ran.pids, usage.pids)
    try:
        job.stop(GRACE_S)
    except SandboxError as error:
        job.kill()
        ran.stopped, ran.detail = Stop.ENGINE, str(error)
