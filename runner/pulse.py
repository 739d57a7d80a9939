"""Two threads the job cannot starve: the heartbeat, on which the log rides, and the telemetry."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections import deque
from typing import Any

from runner.client import ConflictError, RefusedError, ServerError
from runner.happenings import Happenings, Kind
from runner.joblog import JobLog
from runner.outage import Outage
from runner.protocol import LOG_CHUNK_MAX, ClaimedJob, Heartbeat, HeartbeatAnswer, LogChunk, Telemetry
from runner.server import JobServer

LOG_PAUSE_S = 0.5
"""New output is sent at most this often [s]: a person watching sees it as it comes."""
LOG_SETTLE_S = 0.2
"""New output waits so long for more of it, and for the controller's word on when it was written [s]."""
TELEMETRY_PAUSE_S = 0.1
TELEMETRY_ROWS_MAX = 500

logger = logging.getLogger(__name__)


class Pulse:
    """Renews the lease and sends the log from `start` to `stop`.

    Args:
        client: Its own.
        job: The job.
        log: Its log.
        happenings: Is told of a cancel and of a lost lease.
    """

    def __init__(self, client: JobServer, job: ClaimedJob, log: JobLog, happenings: Happenings) -> None:
        self.phase = "preparing"
        self.acknowledged = 0
        self.finishing = False
        self._client = client
        self._job = job
        self._log = log
        self._happenings = happenings
        self._times_taken: bool | None = None
        self._outage = Outage(logger, f"job {job.id}: heartbeat")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat {job.id}", daemon=True)

    def start(self) -> None:
        """Beat at once, then as often as the server asked."""
        self._thread.start()

    def stop(self) -> None:
        """No more beats. The log's end rides on `finish`."""
        self._stopping.set()
        with self._log.changed:
            self._log.changed.notify_all()
        self._thread.join()
        self._client.close()

    def flush(self, budget_s: float) -> None:
        """Wait until what `finish` can carry is all that is missing at the server."""
        deadline = time.monotonic() + budget_s
        while self._thread.is_alive() and self._missing() > LOG_CHUNK_MAX and time.monotonic() < deadline:
            self._thread.join(0.1)

    def last_chunk(self) -> LogChunk | None:
        """The part of the log the server has not acknowledged, as far as one message may carry it.

        It says when its parts were written only to a server that has shown to take that: nothing may be
        wrong with last words.
        """
        return chunk(self._log, self.acknowledged, timed=self._times_taken is True)

    def _missing(self) -> int:
        return self._log.length - self.acknowledged

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            pause = self._job.heartbeat_s
            try:
                self._beat()
            except ConflictError as error:
                if self.finishing:  # the last words overtook this beat
                    return
                logger.warning("job %s: %s", self._job.id, error)
                self._happenings.post(Kind.LOST, str(error))
                return
            except ServerError as error:
                if not self.finishing:  # who delivers tells it too
                    self._outage.failed(error)
                pause = min(pause, max(1.0, self._job.lease_s / 10))
                self._stopping.wait(pause)
            else:
                self._outage.over()
                self._rest(began, pause)

    def _beat(self) -> None:
        log = chunk(self._log, self.acknowledged, timed=self._times_taken is not False)
        try:
            answer = self._say(log)
        except RefusedError:
            if log is None or not log.times:
                raise
            self._times_taken = False  # a server from before them
            answer = self._say(chunk(self._log, self.acknowledged))
        else:
            if log is not None and log.times:
                self._times_taken = True
        self.acknowledged = answer.log_length
        if answer.cancel is not None:
            self._happenings.post(Kind.CANCELLED, answer.cancel)

    def _say(self, log: LogChunk | None) -> HeartbeatAnswer:
        message = Heartbeat(fence=self._job.fence, phase=self.phase, log=log)
        return self._client.heartbeat(self._job.id, message)

    def _rest(self, began: float, pause: float) -> None:
        """Until the next beat is due, or earlier when there is output to send."""
        if self._missing() > LOG_CHUNK_MAX:
            return
        with self._log.changed:
            self._log.changed.wait_for(lambda: self._missing() > 0 or self._stopping.is_set(), pause)
        self._stopping.wait(max(LOG_SETTLE_S, began + LOG_PAUSE_S - time.monotonic()))


def chunk(log: JobLog, offset: int, *, timed: bool = False) -> LogChunk | None:
    """The log from `offset` on, as much as one message carries; None where there is nothing."""
    data = log.read(offset, LOG_CHUNK_MAX) if offset < log.length else b""
    if not data:
        return None
    text = base64.b64encode(data).decode()
    times = log.times.between(offset, offset + len(data)) if timed else []
    return LogChunk(offset=offset, data=text, times=times) if times else LogChunk(offset=offset, data=text)


class TelemetrySender:
    """Posts the latest ticks about ten times a second; drops what it cannot post in time.

    Args:
        client: Its own.
        job: The job.
        session: Number of the session.
    """

    def __init__(self, client: JobServer, job: ClaimedJob, session: int) -> None:
        self._client = client
        self._job = job
        self._session = session
        self._columns: list[str] = []
        self._rows: deque[list[float | None]] = deque(maxlen=TELEMETRY_ROWS_MAX)
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=f"telemetry {job.id}", daemon=True)
        self._thread.start()

    def put(self, event: dict[str, Any]) -> None:
        """One telemetry event of the controller."""
        self._columns = event.get("columns", self._columns)
        self._rows.extend(event.get("rows", []))
        self._wake.set()

    def close(self) -> None:
        """Send what is left, once."""
        self._ending = True
        self._wake.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            if rows and not self._send(rows):
                return
            if not self._ending:
                time.sleep(max(0.0, began + TELEMETRY_PAUSE_S - time.monotonic()))

    def _send(self, rows: list[list[float | None]]) -> bool:
        try:
            message = Telemetry(
                fence=self._job.fence, session=self._session, columns=self._columns, rows=rows
            )
            self._client.telemetry(self._job.id, message)
        except ConflictError:
            return False
        except (ServerError, ValueError) as error:
            logger.debug("job %s: telemetry dropped: %s", self._job.id, error)
        return True
