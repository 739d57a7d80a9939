"""The latest telemetry of running jobs: in memory only, droppable, relayed to where somebody watches.

A runner posts to one server process; a page may be open at another. A process with a watcher says so to the
others every few seconds (`w:<job>`), and whoever receives posts sends them on (`t:<job>:<frame>`) only while
that is fresh. Without a watcher elsewhere a post costs no notice at all.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.protocol import Telemetry

CHANNEL = "raas_live"
"""The notices' channel of its own."""
JOBS_MAX = 1000
FRAMES_KEPT = 20
"""Frames of a job that a page which opens now starts with: two seconds."""
FRAME_MAX = 7500
"""Longest frame, bytes: a notice of PostgreSQL holds less than 8,000."""
DIGITS = 6
FENCE_KNOWN_S = 5.0
"""How long a fence that was right is believed [s]: ten posts a second need not ask the database each time."""
WATCH_S = 15.0
"""How long the word that somebody watches elsewhere is good for [s]; it is repeated every third of that."""

Send = Callable[[str], None]


@dataclass(frozen=True)
class Frame:
    """A telemetry message as a page gets it: JSON with `session`, `columns` and `rows`, and its number."""

    number: int
    data: str


@dataclass
class _Job:
    frames: deque[Frame] = field(default_factory=lambda: deque(maxlen=FRAMES_KEPT))
    count: int = 0


class LatestTelemetry:
    """The last frames of each running job; the jobs heard of longest ago are forgotten first.

    Args:
        notify: Called with `telemetry:<job>` after each frame, to wake those who watch in this process.
    """

    def __init__(self, notify: Send) -> None:
        self._lock = threading.Lock()
        self._notify = notify
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        self._fences: dict[tuple[int, int, str], float] = {}
        self._wanted: dict[int, float] = {}
        self._send: Send | None = None

    def relay(self, send: Send | None) -> None:
        """Also tell other processes, by `send`; it must neither block nor raise."""
        self._send = send

    def put(self, job_id: int, message: Telemetry) -> None:
        """Keep a runner's message, and pass it on to those who watch."""
        data = encode(message)
        if data is None:
            return
        self._keep(job_id, data)
        if self._send is not None and self._wanted.get(job_id, 0.0) > time.monotonic():
            self._send(f"t:{job_id}:{data}")

    def since(self, job_id: int, number: int) -> list[Frame]:
        """The frames of a job after `number`, at most `FRAMES_KEPT`."""
        with self._lock:
            job = self._jobs.get(job_id)
            return [] if job is None else [frame for frame in job.frames if frame.number > number]

    def watch(self, job_id: int) -> None:
        """Tell the other processes that somebody watches here."""
        if self._send is not None:
            self._send(f"w:{job_id}")

    def heard(self, word: str) -> None:
        """What another process sent."""
        kind, _, rest = word.partition(":")
        number, _, data = rest.partition(":")
        if kind == "w":
            self._want(int(number))
        elif kind == "t":
            self._keep(int(number), data)

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

    def _want(self, job_id: int) -> None:
        now = time.monotonic()
        with self._lock:
            self._wanted = {job: until for job, until in self._wanted.items() if until > now}
            self._wanted[job_id] = now + WATCH_S

    def _keep(self, job_id: int, data: str) -> None:
        with self._lock:
            job = self._jobs.setdefault(job_id, _Job())
            job.count += 1
            job.frames.append(Frame(job.count, data))
            self._jobs.move_to_end(job_id)
            while len(self._jobs) > JOBS_MAX:
                self._jobs.popitem(last=False)
        self._notify(f"telemetry:{job_id}")


def encode(message: Telemetry) -> str | None:
    """The message as a frame of at most `FRAME_MAX` bytes; the oldest rows go first, None if all would."""
    rows = [[_rounded(value) for value in row] for row in message.rows]
    while rows:
        frame = {"session": message.session, "columns": message.columns, "rows": rows}
        data = json.dumps(frame, separators=(",", ":"))
        if len(data) <= FRAME_MAX:
            return data
        rows = rows[(len(rows) + 1) // 2 :]
    return None


def _rounded(value: float | None) -> float | None:
    """Six digits are more than a page can draw."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
