"""The loop: deliver what is held, ask for a job, work on it, and again, until told to drain.

While one job moves the robot, the next one is claimed and prepared (`ahead`) and the last one's results are
delivered (`courier`); what the robot does, one job after the other, is this loop's alone.

The first SIGTERM drains: the job at hand ends as usual, one held ahead goes back and no new one is asked for.
A second one, or a SIGINT, stops the job at hand too and reports that.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from raas_gym.control import ControlError
from raas_gym.version import __version__
from runner.ahead import Ahead
from runner.assignment import Assignment, State
from runner.client import Claimed, Client, ServerError
from runner.courier import Courier
from runner.delivery import Delivery, hand_over
from runner.engine_errors import SandboxError
from runner.happenings import Happenings
from runner.held import HeldJob, Phase
from runner.joblog import JobLog
from runner.keeper import Keeper
from runner.outage import Outage
from runner.program import Tools
from runner.protocol import WAIT_MAX_S, Claim, ClaimedJob, RobotReport
from runner.pulse import Pulse
from runner.recovery import recover
from runner.sessions import SessionError

POLL_S = min(30.0, WAIT_MAX_S)
PAUSE_S = 1.0
PAUSE_MAX_S = 10.0
"""Between two tries to deliver what is held [s]."""
FREE_BYTES_MIN = 200 * 1024 * 1024
"""With less room on the disk, no job is asked for."""
LAST_TRY_S = 20.0
"""How long a draining runner waits for a server that does not answer, before it leaves results on disk."""

logger = logging.getLogger(__name__)


class Agent:
    """One runner beside one robot.

    Args:
        tools: What it works with.
    """

    def __init__(self, tools: Tools[Client]) -> None:
        self._tools = tools
        self._draining = threading.Event()
        self._stopping = threading.Event()
        self._courier = Courier(self._pass)
        self._assignments: list[Assignment] = []
        self._at_hand: Assignment | None = None
        self._robot: RobotReport | None = None
        self._unanswered = False
        self._untidy = False
        self._outage = Outage(logger)
        self._passed_at = time.monotonic()

    def run(self) -> None:
        """Work until told to drain."""
        self._sweep()
        self._tools.store.sweep()
        with Keeper(self._tools.store, self._tools.new_client()).keeping():
            self._loop()
            self._leave()
        logger.info("drained")

    def _loop(self) -> None:
        pause = PAUSE_S
        while not self._draining.is_set():
            self._pass()
            settled = self._settle()
            work = self._next() if settled else None
            if work is not None:
                self._work(work)
            if work is not None or self._untidy:
                self._sweep()
            if settled:
                pause = PAUSE_S
            else:
                self._draining.wait(pause)
                pause = min(2 * pause, PAUSE_MAX_S)

    @property
    def moved_at(self) -> float:
        """When the loop last made progress (monotonic clock): for a watchdog."""
        at_hand = self._at_hand
        return self._passed_at if at_hand is None else max(self._passed_at, at_hand.happenings.looked_at)

    def drain(self) -> None:
        """Let the job at hand end, then return from `run`."""
        self._draining.set()

    def stop(self) -> None:
        """End the job at hand now, then return from `run`."""
        self._draining.set()
        self._stopping.set()
        for work in self._assignments:
            work.stop()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM drains, a second one or SIGINT stops, while in this block."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGINT or self._draining.is_set():
                logger.warning("stopping now")
                # not here: a handler runs inside whatever lock the main thread holds
                threading.Thread(target=self.stop, daemon=True).start()
            else:
                logger.info("draining: the job at hand ends, no new one is taken")
                self.drain()

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _pass(self) -> None:
        """The loop makes progress."""
        self._passed_at = time.monotonic()

    def _leave(self) -> None:
        """Let what is on the way arrive, and strand nothing."""
        self._courier.wait()
        if self._unanswered:
            self._give_back_late_answer(self._tools.store.claim_key())
        deadline = time.monotonic() + LAST_TRY_S
        while not self._settle() and not self._stopping.is_set() and time.monotonic() < deadline:
            self._stopping.wait(PAUSE_S)

    # what is held from before

    def _settle(self) -> bool:
        """Recover and deliver every held job that is not on its way already; whether none is left.

        One that is on its way may fail to arrive meanwhile: then it is left.
        """
        on_its_way = self._courier.carrying
        left = [held for held in self._tools.store.held() if held.name != on_its_way]
        settled = all(self._settle_one(held) for held in left)
        if settled and on_its_way is None:
            self._courier.behind = False
        return settled and not self._courier.behind

    def _settle_one(self, held: HeldJob) -> bool:
        try:
            ours = recover(self._tools, held)
        except (SessionError, SandboxError, OSError) as error:
            logger.warning("job %s: not recovered yet: %s", held.job.id, error)
            return False
        self._tools.store.renew_key(held.key)
        if ours and self._deliver(held) is Delivery.LATER:
            return False
        self._tools.store.drop(held)
        return True

    def _deliver(self, held: HeldJob) -> Delivery:
        job, folder = held.job, self._tools.store.folder(held)
        log = JobLog(folder / "log", job.limits.log_bytes_max)
        pulse = Pulse(self._tools.new_client(), job, log, Happenings())
        pulse.start()
        try:
            return hand_over(pulse, self._tools.client, self._tools.store, held)
        finally:
            pulse.stop()
            log.close()

    # the next job

    def _next(self) -> Assignment | None:
        """The next job, or None where none came."""
        key = self._tools.store.claim_key()
        began = time.monotonic()
        poll = _Poll(self._tools.new_client(), self._claim_words(key, POLL_S), self._draining, self._pass)
        answer = poll.wait()
        if isinstance(answer, Claimed):
            self._outage.over()
            return self._accepted(answer, key)
        if self._draining.is_set():
            self._unanswered = True
            return None
        quick = time.monotonic() - began < PAUSE_S
        if isinstance(answer, ServerError):
            self._outage.failed(answer)
            self._rest(self._outage.pause_s)
            return None
        self._outage.over()
        if quick:
            self._draining.wait(2 * PAUSE_S)
        return None

    def _rest(self, pause_s: float) -> None:
        """The loop makes no progress, and is well."""
        until = time.monotonic() + pause_s
        while (left := until - time.monotonic()) > 0 and not self._draining.wait(min(left, PAUSE_S)):
            self._pass()

    def _claim_ahead(self) -> Assignment | None:
        """A job for the time after the one at hand, if one is there at this moment."""
        if self._courier.behind or self._draining.is_set() or self._outage.pause_s > 0:
            return None
        key = self._tools.store.claim_key()
        client = self._tools.new_client()
        try:
            claimed = client.claim(self._claim_words(key, 0.0).model_copy(update={"ahead": True}))
        except ServerError as error:
            self._outage.failed(error)
            self._unanswered = True
            return None
        finally:
            client.close()
        self._outage.over()
        return None if claimed is None else self._accepted(claimed, key)

    def _accepted(self, claimed: Claimed, key: str) -> Assignment | None:
        """The job, written down; None where that is not possible, and it went back."""
        self._unanswered, job = False, claimed.job
        logger.info("job %s: %s at %s (attempt %s)", job.id, job.repository, job.sha[:7], job.attempt)
        try:
            work = Assignment(self._tools, claimed, key)
        except OSError as error:
            logger.warning("job %s: given back, it cannot be kept on disk: %s", job.id, error)
            self._give_back(job)
            return None
        self._assignments = [*(one for one in self._assignments if not one.settled), work]
        if self._stopping.is_set():
            work.stop()
        return work

    def _give_back(self, job: ClaimedJob) -> None:
        client = self._tools.new_client()
        try:
            client.release(job.id, job.fence)
        except ServerError as error:
            logger.warning("%s", error)
        finally:
            client.close()

    def _claim_words(self, key: str, wait_s: float) -> Claim:
        return Claim(key=key, wait_s=wait_s, robot=self._report(), software=__version__)

    def _give_back_late_answer(self, key: str) -> None:
        """The poll we left may have been answered with a job: ask once more, and let it go."""
        try:
            claimed = self._tools.client.claim(self._claim_words(key, 0.0))
            if claimed is not None:
                self._tools.client.release(claimed.job.id, claimed.job.fence)
        except ServerError as error:
            logger.warning("%s", error)

    def _report(self) -> RobotReport:
        """The robot as the controller sees it, and whether this host is fit to run a job."""
        trouble = self._trouble()
        try:
            status = self._tools.control.status()
        except ControlError as error:
            known = self._robot or _unknown_robot(self._tools.settings.labels)
            return known.model_copy(update={"healthy": False, "message": str(error)[:4000]})
        self._robot = RobotReport(
            kind=status.kind,
            plant="hardware" if status.plant == "hardware" else "simulated",
            env_ids=status.env_ids[:50],
            healthy=status.state != "unhealthy" and not trouble,
            message=(trouble or status.message)[:4000],
            passport=status.passport[:100],
        )
        return self._robot

    def _trouble(self) -> str:
        """Why this host cannot run a job now, or nothing."""
        try:
            self._tools.engine.ping()
            if self._tools.store.free_bytes() < FREE_BYTES_MIN:
                return f"the disk of {self._tools.store.path} is nearly full"
        except (SandboxError, OSError) as error:
            return str(error)
        return self._tools.store.trouble

    # the job at hand

    def _work(self, first: Assignment) -> None:
        """One job after the other, as long as the next one was claimed ahead of the last one's end."""
        self._at_hand = first
        first.prepare()
        while (work := self._at_hand) is not None:
            self._at_hand = self._move(work) if work.state is State.READY else None
            self._courier.send(work)
            self._pass()

    def _move(self, work: Assignment) -> Assignment | None:
        """The robot is this job's; the job to go on with."""
        ahead = Ahead(self._claim_ahead, work.outlook, self._draining)
        work.move()
        following = ahead.take()
        if following is not None and self._draining.is_set():
            following.release("the runner drains")
        elif following is not None and work.state is State.BROKEN:
            following.release("the runner must settle the job before it first")
        return following

    def _sweep(self) -> None:
        """Remove what failures left behind; only results may be on their way when this is called."""
        on_its_way = self._courier.carrying
        stay = {on_its_way} if on_its_way else set()
        held = [
            job.name for job in self._tools.store.held() if job.phase is not Phase.ENDED or job.name in stay
        ]
        try:
            self._tools.engine.sweep(self._tools.store.owner, held)
            self._untidy = False
        except SandboxError as error:
            self._untidy = True
            logger.warning("leftovers stay until the next sweep: %s", error)


class _Poll:
    """A long poll in a thread of its own, so that a signal need not wait for it."""

    def __init__(
        self, client: Client, claim: Claim, leave: threading.Event, waiting: Callable[[], None]
    ) -> None:
        self._answer: Claimed | ServerError | None = None
        self._leave = leave
        self._waiting = waiting
        self._over = threading.Event()
        self._client = client
        self._claim = claim
        threading.Thread(target=self._run, name="claim", daemon=True).start()

    def wait(self) -> Claimed | ServerError | None:
        """The answer, or None where there is none by the time we leave."""
        while not self._over.wait(0.1):
            self._waiting()
            if self._leave.is_set():
                return None
        return self._answer

    def _run(self) -> None:
        try:
            self._answer = self._client.claim(self._claim)
        except ServerError as error:
            self._answer = error
        finally:
            self._client.close()
            self._over.set()


def _unknown_robot(labels: list[str]) -> RobotReport:
    kind = labels[0] if labels else "unknown"
    return RobotReport(kind=kind, plant="simulated", env_ids=[], healthy=False, passport="unknown")
