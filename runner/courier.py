"""Settles a job that has ended while the robot goes on with the next one: one at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from runner.assignment import Assignment

logger = logging.getLogger(__name__)


class Courier:
    """Carries results away.

    Attributes:
        behind: Results could not be delivered and lie on disk; who has delivered them resets it.

    Args:
        waiting: Called every second while somebody waits here.
    """

    def __init__(self, waiting: Callable[[], None]) -> None:
        self.behind = False
        self._waiting = waiting
        self._carrying: str | None = None
        self._thread: threading.Thread | None = None

    @property
    def carrying(self) -> str | None:
        """Name of the job whose results are on the way."""
        return self._carrying

    def send(self, assignment: Assignment) -> None:
        """Settle it. Waits for the one before: results must not pile up beside a robot that is faster."""
        self.wait()
        self._carrying = assignment.held.name
        name = f"delivery {assignment.held.job.id}"
        self._thread = threading.Thread(target=self._run, args=(assignment,), name=name)
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is on the way."""
        while self._thread is not None:
            self._waiting()
            self._thread.join(1.0)
            if not self._thread.is_alive():
                self._thread = None

    def _run(self, assignment: Assignment) -> None:
        try:
            if not assignment.settle():
                self.behind = True
        except Exception:
            self.behind = True
            logger.exception("job %s: not settled", assignment.held.job.id)
        finally:
            self._carrying = None
