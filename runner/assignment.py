"""One claimed job on this host, from its claim until nothing of it is left here.

Its steps follow one another and may be taken by different threads: it is prepared, perhaps while the robot is
busy with another job; it moves the robot; and it is settled, perhaps while the next one moves it. Its
heartbeat goes on all the while, in a thread of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from runner.attempt import AbandonedError, Attempt, GiveBackError
from runner.client import Claimed, Client
from runner.delivery import Delivery, give_back, hand_over
from runner.happenings import Happenings, Kind
from runner.held import HeldJob, Phase
from runner.joblog import JobLog
from runner.outlook import Outlook
from runner.program import Desk, Tools
from runner.protocol import Finish
from runner.pulse import Pulse

logger = logging.getLogger(__name__)


class State(Enum):
    """Where an assignment stands."""

    CLAIMED = "claimed"
    READY = "ready"  # prepared: the robot may be asked for
    ENDED = "ended"  # there are last words to deliver
    GONE = "gone"  # it is not ours any more, or was never to be: nothing is left to say
    BROKEN = "broken"  # the runner failed: what is on disk says how to go on


class Assignment:
    """A job that this runner answers for.

    Args:
        tools: What the runner works with.
        claimed: The job as it was claimed, and whose it is.
        key: The key it was claimed with.

    Raises:
        OSError: It cannot be kept on disk.
    """

    def __init__(self, tools: Tools[Client], claimed: Claimed, key: str) -> None:
        store, job = tools.store, claimed.job
        self.held = HeldJob(job=job, key=key, server=claimed.server)
        self.state = State.CLAIMED
        self.settled = False
        self.outlook = Outlook()
        self.happenings = Happenings()
        store.save(self.held)
        self._log = JobLog(store.folder(self.held) / "log", job.limits.log_bytes_max)
        store.renew_key(key)
        self._client = tools.new_client()
        self._tools = replace(tools, client=self._client)
        self._pulse = Pulse(tools.new_client(), job, self._log, self.happenings)
        desk = Desk(self.held, self._log, self._pulse, self.happenings, self.outlook)
        self._attempt = Attempt(self._tools, desk)
        self._pulse.start()

    def prepare(self) -> None:
        """Fetch and unpack its source, see to its image and its volume."""
        self._take(self._attempt.prepare)
        if self.state is State.READY:
            self._pulse.phase = "waiting for the robot"

    def look_up(self) -> None:
        """Has anything happened that ends it before the robot moves?"""
        self._take(self._attempt.look_up)

    def move(self) -> None:
        """Move the robot. When this returns, the robot is free."""
        try:
            self._take(self._attempt.move)
        finally:
            self.outlook.end()

    def stop(self) -> None:
        """The host wants the runner to end now."""
        self.happenings.post(Kind.HOST_STOPS)

    def release(self, reason: str) -> None:
        """Give it back into the queue; its robot did not move."""
        if give_back(self._client, self.held, reason):
            self.state = State.GONE
        else:
            self.held.phase = Phase.ENDED
            self.state = State.ENDED

    def settle(self) -> bool:
        """Deliver what there is to deliver and leave nothing; whether nothing of it remains to be done."""
        try:
            done = self._deliver() if self.state is State.ENDED else self.state is State.GONE
        finally:
            self._attempt.close()
            self._pulse.stop()
            self._log.close()
            self._client.close()
            self.settled = True
        if done:
            self._tools.store.drop(self.held)
        return done

    def _take(self, step: Callable[[], Finish | None]) -> None:
        job = self.held.job
        try:
            self.state = State.READY if step() is None else State.ENDED
        except AbandonedError as error:
            logger.warning("job %s: not ours any more: %s", job.id, error)
            self.state = State.GONE
        except GiveBackError as error:
            self.release(str(error))
        except Exception:
            logger.exception("job %s: the runner failed", job.id)
            self.state = State.BROKEN

    def _deliver(self) -> bool:
        return hand_over(self._pulse, self._client, self._tools.store, self.held) is not Delivery.LATER
