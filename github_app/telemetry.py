"""The latest telemetry of running jobs, in this process's memory only: what a live page starts with."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from runner.protocol import Telemetry

JOBS_MAX = 1000
FENCE_KNOWN_S = 5.0
"""How long a fence that was right is believed [s]: ten posts a second need not ask the database each time."""


@dataclass(frozen=True)
class Latest:
    """A job's last telemetry message, and when it came (`time.monotonic`) [s]."""

    message: Telemetry
    at: float


class LatestTelemetry:
    """The last message of each running job; the jobs heard of longest ago are forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: OrderedDict[int, Latest] = OrderedDict()
        self._fences: dict[tuple[int, int, str], float] = {}

    def put(self, job_id: int, message: Telemetry) -> None:
        """Keep a message in place of the one before."""
        with self._lock:
            self._latest[job_id] = Latest(message, time.monotonic())
            self._latest.move_to_end(job_id)
            while len(self._latest) > JOBS_MAX:
                self._latest.popitem(last=False)

    def get(self, job_id: int) -> Latest | None:
        """The last message of a job, if this process has one."""
        with self._lock:
            return self._latest.get(job_id)

    def trust(self, runner_id: int, job_id: int, fence: str) -> None:
        """Remember for a moment that this fence is right."""
        now = time.monotonic()
        with self._lock:
            self._fences = {key: until for key, until in self._fences.items() if until > now}
            self._fences[runner_id, job_id, fence] = now + FENCE_KNOWN_S

    def trusts(self, runner_id: int, job_id: int, fence: str) -> bool:
        """Whether this fence was right a moment ago."""
        with self._lock:
            return self._fences.get((runner_id, job_id, fence), 0.0) > time.monotonic()
