"""What a job may do next: the one table of transitions. Pure: no database, no clock.

    queued -> claimed -> running -> completed(conclusion)
    queued -> completed(cancelled | skipped | failure | action_required)
    claimed -> completed(failure | cancelled)   bad source, failed install, cancelled while preparing
    claimed -> queued                           lease lost or released before the robot moved
    running -> completed(neutral)               lost: moving a robot is not idempotent, never re-run by itself
    completed(neutral, lost) -> completed(...)  the last holder of the fence amends it, once
    completed(action_required) -> completed(cancelled)  nobody approved it in time

Every move is one event; `github_app.queue` stores both in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from runner.protocol import Conclusion


class Status(str, Enum):
    """GitHub's words for a check run's status, and the two steps `in_progress` consists of."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    COMPLETED = "completed"


class EventKind(str, Enum):
    """What can happen to a job. The names are stored: add, never rename."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RELEASED = "released"
    LEASE_LOST = "lease_lost"
    RUNNING = "running"
    CANCEL_REQUESTED = "cancel_requested"
    REFUSED = "refused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    LOST = "lost"
    RECOVERED = "recovered"
    EXPIRED = "expired"


MAX_ATTEMPTS = 3
"""Claims of one job that may lose their lease before the robot moved."""


class IllegalMoveError(Exception):
    """The job's state does not allow this event."""


@dataclass(frozen=True)
class State:
    """The part of a job that the table decides on."""

    status: Status
    conclusion: Conclusion | None = None
    lost: bool = False


_Q, _C, _R = Status.QUEUED, Status.CLAIMED, Status.RUNNING

_MOVES: dict[tuple[Status, EventKind], Status] = {
    (_Q, EventKind.CLAIMED): _C,
    (_Q, EventKind.CANCELLED): Status.COMPLETED,
    (_Q, EventKind.REFUSED): Status.COMPLETED,
    (_C, EventKind.RELEASED): _Q,
    (_C, EventKind.LEASE_LOST): _Q,
    (_C, EventKind.RUNNING): _R,
    (_C, EventKind.CANCEL_REQUESTED): _C,
    (_C, EventKind.CANCELLED): Status.COMPLETED,
    (_C, EventKind.FINISHED): Status.COMPLETED,
    (_C, EventKind.LOST): Status.COMPLETED,
    (_R, EventKind.CANCEL_REQUESTED): _R,
    (_R, EventKind.FINISHED): Status.COMPLETED,
    (_R, EventKind.LOST): Status.COMPLETED,
}

_CONCLUSIONS: dict[tuple[Status, EventKind], frozenset[Conclusion]] = {
    (_Q, EventKind.CANCELLED): frozenset({Conclusion.CANCELLED}),
    (_Q, EventKind.REFUSED): frozenset(
        {Conclusion.FAILURE, Conclusion.SKIPPED, Conclusion.ACTION_REQUIRED},
    ),
    (_C, EventKind.CANCELLED): frozenset({Conclusion.CANCELLED}),
    (_C, EventKind.FINISHED): frozenset({Conclusion.FAILURE, Conclusion.CANCELLED}),
    (_C, EventKind.LOST): frozenset({Conclusion.NEUTRAL}),
    (_R, EventKind.FINISHED): frozenset(
        {
            Conclusion.SUCCESS,
            Conclusion.FAILURE,
            Conclusion.CANCELLED,
            Conclusion.TIMED_OUT,
            Conclusion.NEUTRAL,
        }
    ),
    (_R, EventKind.LOST): frozenset({Conclusion.NEUTRAL}),
}


def move(state: State, event: EventKind, conclusion: Conclusion | None = None) -> State:
    """The state after `event`.

    Args:
        state: Where the job stands.
        event: What happened.
        conclusion: How it ended, where the event ends it; otherwise None.

    Raises:
        IllegalMoveError: The table has no such move, or not with this conclusion.
    """
    if event is EventKind.RECOVERED:
        return _recover(state, conclusion)
    if event is EventKind.EXPIRED:
        return _expire(state, conclusion)
    target = _MOVES.get((state.status, event))
    if target is None:
        raise IllegalMoveError(f"a job that is {state.status.value} cannot be {event.value}")
    allowed = _CONCLUSIONS.get((state.status, event), frozenset())
    if (conclusion is None) != (target is not Status.COMPLETED):
        raise IllegalMoveError(f"{event.value} and conclusion {conclusion} do not go together")
    if conclusion is not None and conclusion not in allowed:
        raise IllegalMoveError(
            f"a job that is {state.status.value} cannot be {event.value} as {conclusion.value}",
        )
    return State(target, conclusion, lost=event is EventKind.LOST)


def _expire(state: State, conclusion: Conclusion | None) -> State:
    """The end of waiting for an approval."""
    if state != State(Status.COMPLETED, Conclusion.ACTION_REQUIRED):
        raise IllegalMoveError("only a job that waits for approval can expire")
    if conclusion is not Conclusion.CANCELLED:
        raise IllegalMoveError(f"a job that waits for approval cannot expire as {conclusion}")
    return State(Status.COMPLETED, conclusion)


def _recover(state: State, conclusion: Conclusion | None) -> State:
    """The amendment of a lost job. It leaves `lost` unset, so there is no second one."""
    if not state.lost or state.status is not Status.COMPLETED:
        raise IllegalMoveError("only a lost job can be amended, and only once")
    if conclusion not in _CONCLUSIONS[(_R, EventKind.FINISHED)]:
        raise IllegalMoveError(f"a lost job cannot be amended to {conclusion}")
    return State(Status.COMPLETED, conclusion)
