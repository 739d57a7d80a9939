"""A session's live events, from the tick loop to whoever follows.

The tick loop only appends to a deque; it never waits for a follower, a lock or an encoder. A thread of its
own gathers what came in the last `PERIOD_S`, encodes it once and puts it into every follower's bounded
queue. A follower that reads too slowly loses the oldest telemetry; `ended` stands beside the queue and is
never lost.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence

from raas_gym import control

PERIOD_S = 0.1
BACKLOG = 20
"""Events a follower may lag behind (2 s) before it loses the oldest."""

GRACE_S = 60.0
"""How long after the end a follower that does not read may still fetch `ended` [s]."""

MAX_FOLLOWERS = 16


class Follower:
    """One reader of a feed: a bounded queue of encoded events, and the last event apart from it."""

    def __init__(self) -> None:
        self._events: deque[bytes] = deque(maxlen=BACKLOG)
        self._last: bytes | None = None
        self._ended_at: float | None = None
        self._changed = threading.Condition()

    def put(self, event: bytes) -> None:
        """Add an event; the oldest one falls out where the queue is full."""
        with self._changed:
            self._events.append(event)
            self._changed.notify()

    def end(self, event: bytes) -> None:
        """Set the last event; it comes after what is queued."""
        with self._changed:
            self._last = event
            self._ended_at = time.monotonic()
            self._changed.notify()

    def next(self, timeout_s: float) -> tuple[bytes | None, bool]:
        """The next event (None where none came within `timeout_s`), and whether it is the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._last is not None, timeout_s)
            if self._events:
                return self._events.popleft(), False
            return self._last, self._last is not None

    @property
    def given_up(self) -> bool:
        """Whether the session ended more than `GRACE_S` ago: a peer that still does not read is let go."""
        return self._ended_at is not None and time.monotonic() - self._ended_at > GRACE_S


class Return:
    """The sum of an episode's rewards, tick by tick.

    Args:
        episode, reward: Where a row holds them.
    """

    def __init__(self, episode: int, reward: int) -> None:
        self._episode, self._reward = episode, reward
        self._of: float | None = None
        self._sum = 0.0

    def after(self, row: Sequence[float]) -> float:
        """The sum with this row."""
        if row[self._episode] != self._of:
            self._of, self._sum = row[self._episode], 0.0
        self._sum += row[self._reward]
        return self._sum


class Feed:
    """Gathers rows from the tick loop and hands them to followers until `finish`."""

    def __init__(self) -> None:
        self._columns: list[str] = []
        self._return: Return
        self._rows: deque[tuple[Sequence[float], float]] = deque()
        self._followers: list[Follower] = []
        self._last: bytes | None = None
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._distribute, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin to hand out what is pushed."""
        self._thread.start()

    def begin(self, columns: Sequence[str]) -> None:
        """Name the columns of the rows to come; followers also get `return`, the episode's rewards so far."""
        self._columns = [*columns, "return"]
        self._return = Return(columns.index("episode"), columns.index("reward"))

    def push(self, row: Sequence[float], began_at: float) -> None:
        """Add the row of a tick, and when it began on the monotonic clock [s]: no lock, no copy, no wait."""
        self._rows.append((row, began_at))

    def subscribe(self) -> Follower:
        """A new follower; of an ended feed it gets the last event alone.

        Raises:
            ControlError: `busy` where `MAX_FOLLOWERS` already follow.
        """
        follower = Follower()
        with self._lock:
            if self._last is not None:
                follower.end(self._last)
            elif len(self._followers) >= MAX_FOLLOWERS:
                raise control.ControlError("busy", f"{MAX_FOLLOWERS} already follow this session: close one")
            else:
                self._followers.append(follower)
        return follower

    def unsubscribe(self, follower: Follower) -> None:
        """Forget a follower that hung up."""
        with self._lock:
            if follower in self._followers:
                self._followers.remove(follower)

    def finish(self, event: dict[str, object]) -> None:
        """Hand out what is left and then `event`, the last one."""
        self._finished.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            self._last = control.encode(event)
            for follower in self._followers:
                follower.end(self._last)
            self._followers.clear()

    def _distribute(self) -> None:
        while not self._finished.wait(PERIOD_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        fresh = [self._rows.popleft() for _ in range(len(self._rows))]
        with self._lock:
            # Summed up here, where no row is missing: followers may lose some.
            rows = [(*row, self._return.after(row)) for row, _ in fresh]
            if not rows or not self._followers:
                return
            event = encode_rows(self._columns, rows, fresh[-1][1])
            for follower in self._followers:
                follower.put(event)


def encode_rows(columns: Sequence[str], rows: Sequence[Sequence[float]], at: float) -> bytes:
    """A telemetry event as a line of JSON; a value that is not finite becomes null.

    Args:
        columns: Names of a row's values.
        rows: A row a tick.
        at: When the last row's tick began, on the monotonic clock [s].
    """
    finite = [[v if math.isfinite(v) else None for v in map(float, row)] for row in rows]
    return control.encode({"event": "telemetry", "columns": list(columns), "rows": finite, "at": at})
