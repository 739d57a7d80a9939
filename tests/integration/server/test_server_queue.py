"""The queue on real databases: order, claims, leases, loss, recovery, cancellation, the log."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from server_world import add_repository, events, job_request, submit
from sqlalchemy import select

from github_app import claims, joblog, leases, moves, outlook, queue, swift_claim
from github_app.claims import ClaimRequest
from github_app.db import Database
from github_app.jobs import IllegalMoveError
from github_app.leases import Holder, LeaseRules
from github_app.models import Job, LogChunk, Runner
from github_app.swift_claim import Claimed
from runner.protocol import Conclusion, Finish, Heartbeat, RobotReport
from runner.protocol import LogChunk as LogPiece

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = LeaseRules(lease_s=30.0, prepare_s=900.0, log_bytes_max=1000)
LEASE = timedelta(seconds=30)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def report(**fields: object) -> RobotReport:
    values = {
        "kind": "pendulum",
        "plant": "simulated",
        "env_ids": [],
        "healthy": True,
        "passport": "simulated",
    }
    return RobotReport.model_validate(values | fields)


class Desk:
    """One runner's acts on a database, at times of the test's choice."""

    def __init__(self, database: Database, name: str = "goose", labels: tuple[str, ...] = ()) -> None:
        self.database = database
        with database.write() as session:
            robot = report().model_dump(mode="json")
            runner = Runner(name=name, labels=list(labels), created_at=T0, robot=robot)
            session.add(runner)
            session.flush()
            self.id = runner.id

    def claim(
        self, now: float = 0, *, key: str | None = None, robot: RobotReport | None = None
    ) -> Claimed | None:
        wish = ClaimRequest(self.id, key or secrets.token_hex(16), robot or report())
        return swift_claim.claim(self.database, wish, lease_s=RULES.lease_s, now=at(now))

    def claimed(self, now: float = 0) -> Holder:
        job = self.claim(now)
        assert job is not None
        return Holder(self.id, job.id, job.fence)

    def started(self, now: float = 0) -> Holder:
        holder = self.claimed(now)
        self.start(holder, now)
        return holder

    def start(self, holder: Holder, now: float = 0) -> None:
        with self.database.write() as session:
            leases.start(session, holder, RULES, now=at(now))

    def beat(
        self, holder: Holder, now: float = 0, log: tuple[int, bytes] | None = None
    ) -> tuple[int, str | None]:
        message = Heartbeat(fence=holder.fence, log=None if log is None else piece(*log))
        with self.database.write() as session:
            answer = leases.heartbeat(session, holder, message, RULES, now=at(now))
        return answer.log_length, answer.cancel

    def finish(
        self,
        holder: Holder,
        conclusion: Conclusion = Conclusion.SUCCESS,
        now: float = 0,
        log: tuple[int, bytes] | None = None,
    ) -> None:
        message = Finish(
            fence=holder.fence,
            conclusion=conclusion,
            reason="as it was",
            log=None if log is None else piece(*log),
            timings={"source": float("nan")},
        )
        with self.database.write() as session:
            leases.finish(session, holder, message, RULES, now=at(now))

    def release(self, holder: Holder, now: float = 0) -> None:
        with self.database.write() as session:
            leases.release(session, holder, now=at(now))


def piece(offset: int, data: bytes) -> LogPiece:
    return LogPiece(offset=offset, data=base64.b64encode(data).decode())


def reap(database: Database, now: float) -> list[int]:
    with database.write() as session:
        return list(leases.reap(session, database, RULES, now=at(now)))


def load(database: Database, job_id: int) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


def log_of(database: Database, job_id: int) -> bytes:
    with database.read() as session:
        return joblog.read(session, session.get_one(Job, job_id))


@pytest.fixture
def desk(database: Database) -> Desk:
    add_repository(database)
    return Desk(database)


@pytest.fixture
def db(desk: Desk) -> Database:
    return desk.database


def test_the_same_request_makes_one_job(db: Database) -> None:
    request = job_request(trigger_key="push:1:abc")
    with db.write() as session:
        first = queue.submit(session, request).id
    with db.write() as session:
        assert queue.submit(session, request).id == first
    assert events(db, first) == ["queued"]


def test_a_refused_job_is_over_at_once(db: Database, desk: Desk) -> None:
    refusal = queue.Refusal(Conclusion.FAILURE, "line 3 of .raas.yml is wrong")
    job_id = submit(db, refusal=refusal)
    assert desk.claim() is None
    job = load(db, job_id)
    assert (job.status, job.conclusion, job.reason) == ("completed", "failure", refusal.reason)
    assert events(db, job_id) == ["queued", "refused"]


def test_first_come_first_served_across_lanes(db: Database, desk: Desk) -> None:
    ids = [submit(db, labels=["pendulum", *more]) for more in ([], ["goose"], [], ["goose"])]
    assert [desk.claimed().job_id for _ in ids[:1]] == ids[:1]
    with db.read() as session:
        places = [outlook.waiting(session, session.get_one(Job, each)).position for each in ids[1:]]
    assert places == [1, 2, 3], "goose serves both lanes"


def test_claims_follow_the_order_of_submission(db: Database, desk: Desk) -> None:
    ids = [submit(db, labels=["pendulum", *more]) for more in ([], ["goose"], [], ["goose"])]
    assert [desk.started().job_id for _ in ids] == ids


@pytest.mark.parametrize(
    ("wanted", "served"),
    [(["pendulum"], True), (["goose"], True), (["simulated", "pendulum"], True), (["cartpole"], False)],
)
def test_labels_decide_who_serves(db: Database, desk: Desk, wanted: list[str], served: bool) -> None:
    submit(db, labels=wanted)
    assert (desk.claim() is not None) is served


def test_an_unhealthy_robot_gets_nothing(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    assert desk.claim(robot=report(healthy=False, message="overheated")) is None
    assert load(db, job_id).status == "queued"


def test_the_same_key_gets_the_same_job_and_fence(db: Database, desk: Desk) -> None:
    submit(db)
    submit(db)
    first, again = desk.claim(key="a" * 32), desk.claim(key="a" * 32)
    assert first is not None
    assert again is not None
    assert (first.id, first.fence, first.attempt) == (again.id, again.fence, again.attempt)


def test_a_key_whose_job_ran_to_its_end_is_spent(db: Database, desk: Desk) -> None:
    submit(db)
    job = desk.claim(key="a" * 32)
    assert job is not None
    holder = Holder(desk.id, job.id, job.fence)
    desk.start(holder)
    desk.finish(holder)
    with pytest.raises(claims.KeySpentError):
        desk.claim(key="a" * 32)


def test_a_runner_that_forgot_its_claim_gives_it_back(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    forgotten = desk.claimed()
    again = desk.claimed()
    assert again.job_id == job_id
    assert again.fence != forgotten.fence
    with pytest.raises(leases.StaleFenceError):
        desk.start(forgotten)
    assert events(db, job_id) == ["queued", "claimed", "lease_lost", "claimed"]


def test_claiming_ahead_leaves_the_running_job_alone(db: Database, desk: Desk) -> None:
    submit(db)
    submit(db)
    running = desk.started()
    ahead = desk.claimed()
    assert desk.beat(running) == (0, None)
    assert desk.beat(ahead) == (0, None)


def test_release_keeps_the_place_and_is_no_loss(db: Database, desk: Desk) -> None:
    first, second = submit(db), submit(db)
    for _ in range(5):
        holder = desk.claimed()
        assert holder.job_id == first
        desk.release(holder)
    with pytest.raises(leases.StaleFenceError):
        desk.release(holder)
    assert load(db, second).attempt == 0


def test_a_running_job_cannot_be_released(db: Database, desk: Desk) -> None:
    submit(db)
    holder = desk.started()
    with pytest.raises(IllegalMoveError):
        desk.release(holder)


def test_starting_twice_is_starting_once(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    desk.start(holder)
    assert events(db, job_id).count("running") == 1


def test_a_heartbeat_keeps_the_lease(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.claimed(0)
    desk.beat(holder, 20)
    assert reap(db, 40) == []
    assert reap(db, 51) == [job_id]


def test_a_lease_lost_before_the_robot_moved_is_requeued_three_times_at_most(
    db: Database, desk: Desk
) -> None:
    job_id, later = submit(db), submit(db)
    for attempt in (1, 2, 3):
        holder = desk.claimed(attempt * 100)
        assert holder.job_id == job_id
        assert reap(db, attempt * 100 + 31) == [job_id]
        with pytest.raises(leases.StaleFenceError):
            desk.beat(holder, attempt * 100 + 32)
    job = load(db, job_id)
    assert (job.status, job.conclusion, job.attempt) == ("completed", "neutral", 3)
    assert "did not move" in (job.reason or "")
    with pytest.raises(leases.StaleFenceError):
        desk.finish(holder)
    assert desk.claimed(500).job_id == later


def test_a_lost_run_is_never_queued_again(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    desk.started()
    assert reap(db, 31) == [job_id]
    job = load(db, job_id)
    assert (job.status, job.conclusion, job.lost) == ("completed", "neutral", True)
    assert desk.claim(40) is None


def test_the_last_holder_may_amend_a_lost_run_once(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    reap(db, 31)
    with pytest.raises(leases.StaleFenceError):
        desk.beat(holder, 32)
    desk.finish(holder, Conclusion.FAILURE, 100)
    desk.finish(holder, Conclusion.SUCCESS, 101)  # a repeat; it changes nothing
    job = load(db, job_id)
    assert (job.conclusion, job.lost) == ("failure", False)
    assert events(db, job_id)[-2:] == ["lost", "recovered"]


def test_finishing_twice_is_finishing_once(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    desk.finish(holder)
    desk.finish(holder, Conclusion.FAILURE)
    job = load(db, job_id)
    assert job.conclusion == "success"
    assert job.results is not None
    assert job.results["timings"] == {"source": None}  # NaN is not JSON
    assert events(db, job_id).count("finished") == 1


def test_a_job_that_never_ran_cannot_succeed(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.claimed()
    with pytest.raises(IllegalMoveError):
        desk.finish(holder, Conclusion.SUCCESS)
    assert load(db, job_id).results is None
    desk.finish(holder, Conclusion.FAILURE)


def test_somebody_elses_runner_is_not_the_holder(db: Database, desk: Desk) -> None:
    submit(db)
    holder = desk.started()
    other = Desk(db, "duck")
    with pytest.raises(leases.StaleFenceError):
        other.beat(Holder(other.id, holder.job_id, holder.fence))


def test_preparing_for_ever_loses_the_claim(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.claimed()
    desk.beat(holder, 929)
    assert reap(db, 929) == []
    desk.beat(holder, 931)
    assert reap(db, 931) == [job_id]
    assert load(db, job_id).status == "queued"


def cancel(database: Database, job_id: int) -> None:
    with database.write() as session:
        queue.cancel(session, job_id, "changed my mind", by="alice")


def test_cancelling_a_queued_job_ends_it(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    cancel(db, job_id)
    cancel(db, job_id)
    assert desk.claim() is None
    assert load(db, job_id).conclusion == "cancelled"
    assert events(db, job_id) == ["queued", "cancelled"]


def test_cancelling_before_the_robot_moves_keeps_it_still(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.claimed()
    cancel(db, job_id)
    assert desk.beat(holder) == (0, "changed my mind")
    with pytest.raises(leases.CancelledError):
        desk.start(holder)
    desk.finish(holder, Conclusion.CANCELLED)
    assert load(db, job_id).conclusion == "cancelled"


@pytest.mark.parametrize("how", ["released", "lost"])
def test_a_cancelled_claim_is_not_queued_again(db: Database, desk: Desk, how: str) -> None:
    job_id = submit(db)
    holder = desk.claimed()
    cancel(db, job_id)
    if how == "released":
        desk.release(holder)
    else:
        reap(db, 31)
    assert load(db, job_id).conclusion == "cancelled"


def test_cancelling_a_run_asks_its_runner_once(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    cancel(db, job_id)
    cancel(db, job_id)
    assert desk.beat(holder) == (0, "changed my mind")
    assert events(db, job_id).count("cancel_requested") == 1
    desk.finish(holder, Conclusion.CANCELLED)


def test_there_is_no_such_job(db: Database) -> None:
    with db.write() as session, pytest.raises(moves.NoSuchJobError):
        queue.cancel(session, 4711, "?", by="alice")


def test_a_log_arrives_once_in_whatever_pieces(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    assert desk.beat(holder, log=(0, b"hello ")) == (6, None)
    assert desk.beat(holder, log=(0, b"hello ")) == (6, None)
    assert desk.beat(holder, log=(20, b"from beyond the end")) == (6, None)
    assert desk.beat(holder, log=(3, b"lo world")) == (11, None)
    assert desk.beat(holder, log=(11, b"")) == (11, None)
    desk.finish(holder, log=(11, b"\xff\n"))
    assert log_of(db, job_id) == b"hello world\xff\n"


def test_a_log_is_cut_at_its_limit_and_says_so(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    assert desk.beat(holder, log=(0, b"x" * 990)) == (990, None)
    assert desk.beat(holder, log=(990, b"y" * 20)) == (1010, None)
    assert desk.beat(holder, log=(1010, b"z" * 20)) == (1030, None)
    assert log_of(db, job_id) == b"x" * 990 + b"y" * 10 + joblog.CUT_NOTE % 1000


def test_a_log_that_ends_at_its_limit_is_not_cut(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    desk.beat(holder, log=(0, b"x" * 1000))
    assert log_of(db, job_id) == b"x" * 1000
    desk.beat(holder, log=(1000, b"y"))
    assert log_of(db, job_id) == b"x" * 1000 + joblog.CUT_NOTE % 1000


def test_the_end_of_a_log_is_kept_even_where_its_middle_is_lost(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    desk.beat(holder, log=(0, b"begin"))
    desk.finish(holder, log=(100, b"end"))
    assert log_of(db, job_id) == b"begin" + joblog.GAP_NOTE % 95 + b"end"


def test_every_attempt_has_its_own_log(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    desk.beat(desk.claimed(), log=(0, b"first try"))
    reap(db, 31)
    assert desk.beat(desk.claimed(40), 40, log=(0, b"second")) == (6, None)
    assert log_of(db, job_id) == b"second"
    with db.read() as session:
        assert len(session.scalars(select(LogChunk)).all()) == 2


def test_a_stretch_of_a_long_log(db: Database, desk: Desk) -> None:
    job_id = submit(db)
    holder = desk.started()
    for start in range(0, 900, 100):
        desk.beat(holder, log=(start, bytes([65 + start // 100]) * 100))
    with db.read() as session:
        job = session.get_one(Job, job_id)
        assert joblog.read(session, job, start=250, size=100) == b"C" * 50 + b"D" * 50
        assert joblog.read(session, job, start=900) == b""


def submit_and_fail(database: Database) -> None:
    with database.write() as session:
        queue.submit(session, job_request())
        raise ValueError("refused")


def test_wake_ups_come_after_the_commit_and_only_then(database_url: str) -> None:
    heard: list[str] = []
    database = Database(database_url, heard.append)
    add_repository(database)
    job_id = submit(database)
    assert heard == ["checks", f"job:{job_id}", "queue"]
    heard.clear()
    with pytest.raises(ValueError, match="refused"):
        submit_and_fail(database)
    assert heard == []
    database.close()
