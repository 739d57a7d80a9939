"""Takes each tick off the tick loop: onto the disk, and to the followers.

The tick loop puts a tick into a queue and goes on. A thread of the recorder writes it to the crash-safe
recording, so that a slow or full disk costs the record time, never the robot.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hardware.telemetry import Feed
from raas_gym.trajectory import Header, Tick, TrajectoryWriter

log = logging.getLogger(__name__)


class Recorder:
    """Records one session's ticks at `path`.

    Args:
        path: The recording, which must not exist.
        header: Its provenance.
        feed: Where followers get their telemetry.
        on_failure: Called once, with a sentence, when the recording cannot go on.
    """

    def __init__(self, path: Path, header: Header, feed: Feed, on_failure: Callable[[str], None]) -> None:
        self.first_tick_at: float | None = None
        """When the first tick began, on the monotonic clock [s]."""
        self._dt = header.dt
        self._feed = feed
        self._on_failure = on_failure
        self._ticks: queue.SimpleQueue[tuple[Tick, float] | None] = queue.SimpleQueue()
        self._writer = TrajectoryWriter(path, header)
        feed.begin(header.columns)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def push(self, tick: Tick) -> None:
        """Take a tick from the tick loop, without waiting."""
        began_at = time.monotonic() - self._dt
        if self.first_tick_at is None:
            self.first_tick_at = began_at
        self._ticks.put((tick, began_at))

    def close(self) -> None:
        """Write what is left and close the recording."""
        self._ticks.put(None)
        self._thread.join()

    def _write(self) -> None:
        try:
            while (taken := self._ticks.get()) is not None:
                tick, began_at = taken
                self._writer.append(tick)
                self._feed.push(row_of(tick), began_at)
            self._writer.close()
        except OSError as error:
            why = f"the controller could not go on recording ({error.strerror}): free space on its disk"
            log.warning("%s: %s", self._writer.path, why)
            self._on_failure(why)


def row_of(tick: Tick) -> tuple[float, ...]:
    """A tick's values in the order of the trajectory's columns."""
    return (
        float(tick.tick),
        tick.t,
        *tick.observation,
        *tick.action,
        *tick.applied,
        tick.applied_at,
        tick.reward,
        float(tick.late),
        float(tick.episode),
    )
