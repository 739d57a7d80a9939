"""A job's sessions at the controller: opened, followed, closed, and their summaries kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from raas_gym.control import ControlClient, ControlError, SessionOpened, SessionRequest, SessionSummary
from runner.happenings import Happenings, Kind
from runner.hardening import JOB_UID
from runner.held import HeldJob
from runner.log_times import LogTimes
from runner.pulse import TelemetrySender
from runner.server import JobServer

BUSY_S = 30.0
"""How long the robot may take to end what it is doing [s]."""
RESTART_S = 30.0
"""How long a controller may take to come back after a crash [s]."""
MARGIN_S = 10.0
"""The controller's limit of time is this much longer than ours [s]: we speak first."""
_PAUSE_S = 0.5
_PASSING = ("busy", "unreachable")

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class SessionError(Exception):
    """The controller did not open or close a session."""


class Sessions:
    """The sessions of one job.

    Args:
        control: The controller.
        held: The job.
        image: Digest of the image, for the recording's header.
        timeout_s: Longest time of a program [s].
        client_uid: The user of this host as whom the program comes.
    """

    def __init__(
        self,
        control: ControlClient,
        held: HeldJob,
        image: str,
        timeout_s: float,
        client_uid: int = JOB_UID,
    ) -> None:
        self._control = control
        self._job = held.job
        self._server = held.server
        self._image = image
        self._timeout_s = timeout_s
        self._client_uid = client_uid
        self._summaries: dict[int, SessionSummary] = {}

    @contextmanager
    def open(
        self, number: int, happenings: Happenings, telemetry: JobServer, times: LogTimes
    ) -> Iterator[SessionOpened]:
        """Session `number`, closed at the end of the block whatever happens in it.

        Args:
            number: Which of the job's sessions.
            happenings: Is told of its end.
            telemetry: Where its ticks are posted.
            times: Is told of its clock.

        Raises:
            SessionError: It could not be opened, or what it came to is not known.
        """
        happenings.forget(Kind.SESSION_ENDED)
        opened = _patiently(lambda: self._control.open(self._request(number)), BUSY_S)
        sender = TelemetrySender(telemetry, self._job, number)
        times.begin(number)
        follower = threading.Thread(
            target=self._follow, args=(number, happenings, sender, times), daemon=True
        )
        follower.start()
        try:
            yield opened
        finally:
            try:
                self._close(number)
            finally:
                follower.join(5.0)
                times.end()
                sender.close()

    def summary(self, number: int) -> SessionSummary | None:
        """What the session came to, where it is known."""
        return self._summaries.get(number)

    def recover(self) -> list[SessionSummary]:
        """The summaries of every session that was ever opened, each closed by now; some may be missing.

        Raises:
            SessionError: The controller does not answer.
        """
        number = 0
        while number < self._job.sessions and self._was_opened(number):
            number += 1
        return [self._summaries[number] for number in sorted(self._summaries)]

    def forget(self, numbers: Iterable[int]) -> None:
        """The recorded files are safe here: let the controller delete its copies. May be repeated.

        A controller that is restarting is waited for, once: nobody would ask it again.
        """
        patience = RESTART_S
        for number in numbers:
            try:
                _patiently(partial(self._forget, number), patience, ("unreachable",))
            except SessionError as error:  # each session is its own
                logger.warning("job %s: the controller keeps its files: %s", self._job.id, error)
                patience = 0.0

    def _forget(self, number: int) -> None:
        self._control.forget(self._job.id, self._job.attempt, number, self._server)

    def _request(self, number: int) -> SessionRequest:
        job = self._job
        env_ids = _patiently(self._control.status, RESTART_S).env_ids
        if not env_ids:
            raise SessionError("the controller hosts no environment")
        return SessionRequest(
            job=job.id,
            attempt=job.attempt,
            number=number,
            env_id=env_ids[0],
            timeout_s=self._timeout_s + MARGIN_S,
            client_uid=self._client_uid,
            display=job.repository[:200],
            header={
                "commit": job.sha,
                "image": self._image,
                "repository": job.repository,
                "ref": job.ref[:200],
            },
            server=self._server,
        )

    def _was_opened(self, number: int) -> bool:
        try:
            self._close(number)
        except SessionError as error:
            if isinstance(error.__cause__, ControlError) and error.__cause__.code == "unreachable":
                raise
            return False
        return True

    def _close(self, number: int) -> None:
        job = self._job
        why = "the program has ended"
        self._summaries[number] = _patiently(
            lambda: self._control.close(job.id, job.attempt, number, why, self._server),
            RESTART_S,
            ("unreachable",),
        )

    def _follow(self, number: int, happenings: Happenings, sender: TelemetrySender, times: LogTimes) -> None:
        job = self._job
        try:
            for event in self._control.follow(job.id, job.attempt, number, self._server):
                if event.get("event") == "telemetry":
                    sender.put(event)
                    _tell_clock(event, times)
                elif event.get("event") == "ended":
                    summary = event.get("summary")
                    reason = summary.get("reason") if isinstance(summary, dict) else None
                    happenings.post(Kind.SESSION_ENDED, str(reason))
        except ControlError as error:
            logger.warning("job %s: the session is not followed any more: %s", job.id, error)
            happenings.post(Kind.SESSION_ENDED, "controller_lost")


def _tell_clock(event: dict[str, Any], times: LogTimes) -> None:
    """Where a telemetry event's newest tick began; an older controller does not say."""
    at, rows, columns = event.get("at"), event.get("rows"), event.get("columns")
    if isinstance(at, float) and rows and columns and "t" in columns:
        t = rows[-1][columns.index("t")]
        if t is not None:
            times.clock(at, float(t))


def _patiently(call: Callable[[], _T], budget_s: float, passing: tuple[str, ...] = _PASSING) -> _T:
    """Repeat a call while the controller is busy or restarting.

    Raises:
        SessionError: It refused, or took too long; the cause is the `ControlError`.
    """
    deadline = time.monotonic() + budget_s
    while True:
        try:
            return call()
        except ControlError as error:  # repeating is what this loop is for
            if error.code not in passing or time.monotonic() + _PAUSE_S > deadline:
                raise SessionError(str(error)) from error
            time.sleep(_PAUSE_S)
