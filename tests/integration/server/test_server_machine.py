"""The queue against the transition table: whatever runners, people and time do, in whatever order."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from server_world import add_repository, job_request
from sqlalchemy import select

from github_app import claims, jobs, leases, queue
from github_app.claims import ClaimRequest, KeySpentError
from github_app.db import Database
from github_app.jobs import EventKind, IllegalMoveError, State, Status
from github_app.leases import CancelledError, Holder, LeaseRules, StaleFenceError
from github_app.models import Job, JobEvent, Runner
from runner.protocol import Conclusion, Finish, Heartbeat, RobotReport

RULES = LeaseRules(lease_s=30.0, prepare_s=100.0, log_bytes_max=1000)
ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)
REFUSED = (StaleFenceError, CancelledError, IllegalMoveError)


class Queue(RuleBasedStateMachine):
    """Two runners, a few jobs, and a clock."""

    holders = Bundle("holders")
    keys = Bundle("keys")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.db = Database(f"sqlite:///{Path(self.folder.name)}/raas.sqlite3")
        self.db.upgrade()
        add_repository(self.db)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        with self.db.write() as session:
            session.add_all([Runner(name=name, labels=[], created_at=self.now) for name in ("goose", "duck")])
        self.submitted: list[int] = []
        self.issued: set[Holder] = set()

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()
            self.folder.cleanup()

    @rule()
    def submit(self) -> None:
        with self.db.write() as session:
            self.submitted.append(queue.submit(session, job_request(), now=self.now).id)

    @rule(target=holders, runner=st.sampled_from([1, 2]))
    def claim(self, runner: int) -> Any:
        return self._claim(runner, secrets.token_hex(16))

    @rule(target=keys, runner=st.sampled_from([1, 2]))
    def claim_without_answer(self, runner: int) -> Any:
        key = secrets.token_hex(16)
        self._claim(runner, key)
        return (runner, key)

    @rule(target=holders, wish=consumes(keys))
    def ask_again_with_the_key(self, wish: tuple[int, str]) -> Any:
        return self._claim(*wish)

    def _claim(self, runner: int, key: str) -> Any:
        with self.db.read() as session:
            before = session.scalars(select(Job).where(Job.claim_key == key)).unique().one_or_none()
            first = (
                session.scalars(
                    select(Job).where(Job.status == "queued").order_by(Job.order_key, Job.id).limit(1)
                )
                .unique()
                .one_or_none()
            )
            waiting = {
                job.id
                for job in session.scalars(
                    select(Job).where(Job.status == "claimed", Job.runner_id == runner)
                ).unique()
            }
        try:
            with self.db.write() as session:
                job = claims.claim(session, ClaimRequest(runner, key, ROBOT), lease_s=30.0, now=self.now)
        except KeySpentError:
            assert before is not None
            return multiple()
        if before is not None:
            assert job is not None
            assert (job.id, job.fence) == (before.id, before.fence)
        elif job is None:
            assert first is None
        else:
            # The earliest that waits, or one that this runner had forgotten and that stands before it.
            assert job.id in waiting or (first is not None and job.id == first.id)
        if job is None:
            return multiple()
        holder = Holder(runner, job.id, job.fence or "")
        self.issued.add(holder)
        return holder

    @rule(holder=holders)
    def start(self, holder: Holder) -> None:
        self._try(lambda session: leases.start(session, holder, RULES, now=self.now))

    @rule(holder=holders)
    def heartbeat(self, holder: Holder) -> None:
        message = Heartbeat(fence=holder.fence)
        self._try(lambda session: leases.heartbeat(session, holder, message, RULES, now=self.now))

    @rule(holder=holders)
    def release(self, holder: Holder) -> None:
        self._try(lambda session: leases.release(session, holder, now=self.now))

    @rule(holder=holders, conclusion=st.sampled_from(list(Conclusion)))
    def finish(self, holder: Holder, conclusion: Conclusion) -> None:
        message = Finish(fence=holder.fence, conclusion=conclusion, reason="")
        self._try(lambda session: leases.finish(session, holder, message, RULES, now=self.now))

    def _try(self, act: Callable[[Any], Any]) -> None:
        try:
            with self.db.write() as session:
                act(session)
        except REFUSED:
            pass

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.submitted:
            job_id = data.draw(st.sampled_from(self.submitted))
            with self.db.write() as session:
                queue.cancel(session, job_id, "changed my mind", "alice", now=self.now)

    @rule(seconds=st.sampled_from([1, 29, 31, 101]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def reap(self) -> None:
        with self.db.write() as session:
            leases.reap(session, self.db, RULES, now=self.now)

    @invariant()
    def history_and_state_agree(self) -> None:
        if not hasattr(self, "db"):
            return
        with self.db.read() as session:
            found = list(session.scalars(select(Job)).unique())
            events = list(session.scalars(select(JobEvent).order_by(JobEvent.id)))
        assert {job.id for job in found} == set(self.submitted), "a job is lost"
        for job in found:
            self._check(job, [event for event in events if event.job_id == job.id])

    def _check(self, job: Job, events: list[JobEvent]) -> None:
        state = State(Status.QUEUED)
        for event in events[1:]:
            conclusion = event.data.get("conclusion")
            state = jobs.move(state, EventKind(event.kind), Conclusion(conclusion) if conclusion else None)
        assert state == State(
            Status(job.status), Conclusion(job.conclusion) if job.conclusion else None, job.lost
        )
        assert job.latest_event == events[-1].id
        counts = Counter(event.kind for event in events)
        assert counts["running"] <= 1, "the robot was to move twice"
        assert counts["lease_lost"] < jobs.MAX_ATTEMPTS
        assert counts["claimed"] == job.attempt
        live = job.status in {"claimed", "running"}
        assert (job.lease_expires_at is not None) is live
        valid = [holder for holder in self.issued if holder.job_id == job.id and holder.fence == job.fence]
        assert len(valid) <= 1, "two runners hold one job"
        assert job.fence is None or job.status != "queued"


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=25, stateful_step_count=40, suppress_health_check=list(HealthCheck)
)
