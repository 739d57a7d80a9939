"""A server that is away: asked again after growing pauses, and told of in a few lines, not one for each try.

An outage may last a night. What asks meanwhile keeps one of these, tells it of every try, and leaves the
logging to it: the first failure of a kind at once, then one line every ten minutes, at last how long it was.
"""

from __future__ import annotations

import logging
import random
import time

from runner.client import RefusedError, ServerError

FIRST_S = 2.0
MOST_S = 15.0
"""The longest pause [s]: so long a robot may rest after the server is back."""
REFUSED_S = 30.0
"""After a server that says no, as it does to a runner whose token was revoked [s]."""
TELL_AGAIN_S = 600.0


class Outage:
    """What one asker knows of the server's absence. For one thread at a time.

    Args:
        logger: Where it is told.
        about: What was asked, as the lines begin; may be empty.
    """

    def __init__(self, logger: logging.Logger, about: str = "") -> None:
        self._logger = logger
        self._about = f"{about}: " if about else ""
        self._kind: type[ServerError] | None = None
        self._pause_s = FIRST_S
        self._began = self._told = self._ask_at = 0.0

    def failed(self, error: ServerError) -> None:
        """A try was in vain."""
        now = time.monotonic()
        if self._kind is None:
            self._began = now
        if self._kind is not type(error):
            self._tell(f"{error}", now)
        elif now - self._told >= TELL_AGAIN_S:
            self._tell(f"{error} (for {_words(now - self._began)} now)", now)
        self._kind = type(error)
        pause_s = REFUSED_S if isinstance(error, RefusedError) else self._pause_s
        self._ask_at = now + pause_s * random.uniform(0.75, 1.0)  # noqa: S311  # jitter, no secret
        self._pause_s = min(2 * self._pause_s, MOST_S)

    def over(self) -> None:
        """A try was answered."""
        if self._kind is not None:
            away_s = time.monotonic() - self._began
            self._logger.info("%sthe server answers again, after %s", self._about, _words(away_s))
        self._kind, self._pause_s, self._ask_at = None, FIRST_S, 0.0

    @property
    def pause_s(self) -> float:
        """How long not to ask [s]; 0 where the server answers."""
        return max(0.0, self._ask_at - time.monotonic())

    def _tell(self, sentence: str, now: float) -> None:
        self._logger.warning("%s%s", self._about, sentence)
        self._told = now


def _words(duration_s: float) -> str:
    return f"{duration_s:.0f} s" if duration_s < 120 else f"{duration_s / 60:.0f} min"
