"""Keeps the jobs that have ended here ours until they are delivered, however long store or server are away.

Whoever delivers a job renews its lease while it tries. Between two tries, and while another one is tried,
this does: a job whose runner is well must not be called lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runner.client import Client, ConflictError, RefusedError, ServerError
from runner.held import HeldJob, Phase, Store
from runner.protocol import Heartbeat

EVERY_S = 5.0

logger = logging.getLogger(__name__)


class Keeper:
    """Renews leases beside everything else.

    Args:
        store: What is held.
        client: Its own.
        every_s: How often.
    """

    def __init__(self, store: Store, client: Client, every_s: float = EVERY_S) -> None:
        self._store = store
        self._client = client
        self._every_s = every_s
        self._over = threading.Event()
        self._gone: set[str] = set()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """In a thread of its own, while in this block."""
        thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._client.close()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                ended = [job for job in self._store.held() if job.phase is Phase.ENDED]
            except OSError:  # one of them was dropped just now
                continue
            for held in ended:
                if held.name not in self._gone and not self._over.is_set():
                    self._renew(held)

    def _renew(self, held: HeldJob) -> None:
        beat = Heartbeat(fence=held.job.fence, phase="delivering results")
        try:
            self._client.heartbeat(held.job.id, beat)
        except (ConflictError, RefusedError) as error:  # its end has arrived, or it is not ours any more
            self._gone.add(held.name)
            logger.debug("job %s: %s", held.job.id, error)
        except ServerError as error:  # who delivers tells it
            logger.debug("job %s: %s", held.job.id, error)
