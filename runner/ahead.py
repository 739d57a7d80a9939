"""The next job, claimed and made ready while the robot is still busy, so that it need not wait afterwards.

The job is this runner's like any other, with its own fence and its own heartbeat, but the server gives it to
an idle robot that asks for one. It is claimed only shortly before the robot may be expected to be free, and
given back when that was a mistake (`outlook`). Nothing of the repository is executed: a precheck waits for
its turn, for it would take processor time from the program on the robot.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable

from runner.assignment import Assignment, State
from runner.happenings import Kind
from runner.outlook import Outlook

ASK_AGAIN_S = 1.0
"""While no job is there, how often one is asked for [s]."""
GLANCE_S = 0.1
NICER_BY = 10
"""Added to the niceness of the thread that prepares: it must not take processor time from a session."""

_UPSET = (Kind.LOST, Kind.CANCELLED, Kind.HOST_STOPS)

logger = logging.getLogger(__name__)


class Ahead:
    """Prepares the job after the one at hand.

    Args:
        claim: Asks for a job, at once; None where there is none, or none is wanted now.
        outlook: When the robot will be free.
        leaving: Set when the runner takes no new job.
    """

    def __init__(
        self, claim: Callable[[], Assignment | None], outlook: Outlook, leaving: threading.Event
    ) -> None:
        self._claim = claim
        self._outlook = outlook
        self._leaving = leaving
        self._ready: Assignment | None = None
        self._thread = threading.Thread(target=self._run, name="claim ahead")
        self._thread.start()

    def take(self) -> Assignment | None:
        """The next job, ready, once the robot is free; None where there is none."""
        self._thread.join()
        return self._ready

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(
                os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICER_BY
            )
        try:
            while self._ready is None and self._outlook.wait_until_near() and not self._leaving.is_set():
                work = self._claim()
                if work is None:
                    self._outlook.wait_until_over(ASK_AGAIN_S)
                elif self._kept(work):
                    self._ready = work
                elif not work.settle():
                    return
        except Exception:
            logger.exception("no job is claimed ahead of this session's end")

    def _kept(self, work: Assignment) -> bool:
        """Make it ready and hold it until the robot is free; whether it is still ours, and ready, then."""
        if not self._leaving.is_set():
            work.prepare()
        while work.state in (State.CLAIMED, State.READY):
            if self._leaving.is_set():
                work.release("the runner drains")
            elif not self._outlook.near:
                work.release("the session before it goes on for longer")
            elif self._outlook.over:
                return True
            elif work.happenings.wait(_UPSET, time.monotonic() + GLANCE_S) is not None:
                work.look_up()
        return False
