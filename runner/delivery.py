"""Handing a finished job over: its files to the store, its last words to the server. May be repeated."""

from __future__ import annotations

import logging
from enum import Enum

from runner import artifacts
from runner.client import Client, ConflictError, RefusedError, ServerError
from runner.held import HeldJob, Store
from runner.protocol import Conclusion, Finish, LogChunk
from runner.pulse import Pulse

FLUSH_S = 20.0
"""How long the log's end is waited for before the last words are sent without it [s]."""
GIVE_BACK_S = 60.0

logger = logging.getLogger(__name__)


class Delivery(str, Enum):
    """What became of it."""

    DONE = "done"
    LATER = "later"  # the server does not answer: the results stay on disk
    REFUSED = "refused"  # the job is not ours to finish any more


def hand_over(pulse: Pulse, client: Client, store: Store, held: HeldJob) -> Delivery:
    """Deliver while the job's pulse goes on: the store may be away for longer than a lease."""
    pulse.phase = "delivering results"
    pulse.flush(FLUSH_S)
    pulse.finishing = True
    return deliver(client, store, held, pulse.last_chunk())


def deliver(client: Client, store: Store, held: HeldJob, log: LogChunk | None) -> Delivery:
    """Upload the results of a job that has ended and finish it."""
    if held.finish is None:
        raise ValueError(f"job {held.name} has no last words yet")
    job = held.job
    try:
        _upload(client, store, held)
        client.finish(job.id, held.finish.model_copy(update={"log": log}))
    except ConflictError as error:
        logger.warning("job %s: concluded without us: %s", job.id, error)
        return Delivery.REFUSED
    except RefusedError as error:
        logger.warning("job %s: the server refuses its end, its results are put aside: %s", job.id, error)
        store.set_aside(held.name)
        return Delivery.REFUSED
    except ServerError as error:
        logger.warning("job %s: delivered later: %s", job.id, error)
        return Delivery.LATER
    logger.info("job %s: %s: %s", job.id, held.finish.conclusion.value, held.finish.reason)
    return Delivery.DONE


def give_back(client: Client, held: HeldJob, reason: str) -> bool:
    """Release a job whose robot did not move; whether that settles it.

    Where the server believes the robot was about to move, the job gets its last words instead: False then.
    """
    try:
        client.release(held.job.id, held.job.fence, GIVE_BACK_S)
    except ConflictError:
        sentence = f"The robot did not move, our fault: {reason}"
        held.finish = Finish(fence=held.job.fence, conclusion=Conclusion.NEUTRAL, reason=sentence[:4000])
        return False
    except ServerError as error:
        # its lease runs out, and the server puts it back into the queue
        logger.warning("job %s: not released: %s", held.job.id, error)
    logger.info("job %s: given back: %s", held.job.id, reason)
    return True


def _upload(client: Client, store: Store, held: HeldJob) -> None:
    try:
        artifacts.upload(client, held.job.id, held.job.fence, store.folder(held) / "results")
    except RefusedError as error:
        logger.warning("job %s: artifacts refused, finishing without the rest: %s", held.job.id, error)
