"""How far the first set-up has come: one row of `facts`, so that every server process agrees.

A token is printed on the server's console and traded once for a place in one browser (a random value in a
cookie); only that browser may go on. Both are stored as digests and run out. Making the App closes set-up
for good: no start prints a token again, and only `raas-server setup --again`, that is somebody with a shell
on the server, opens it anew.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel
from sqlalchemy.orm import Session

from github_app.models import Fact
from github_app.tokens import digest

FACT = "setup"
TOKEN_VALID = timedelta(hours=1)
BROWSER_VALID = timedelta(hours=2)


class SetupClosedError(Exception):
    """There is nothing to set up any more; the message says what to do instead."""


class _Kept(BaseModel):
    """A secret's digest, and until when it counts."""

    digest: str
    until: AwareDatetime

    def fits(self, secret: str, now: datetime) -> bool:
        return hmac.compare_digest(self.digest, digest(secret)) and now < self.until


class SetupState(BaseModel):
    """The row.

    Attributes:
        token: What was printed last and not used yet.
        browser: Who may go on.
        made: The App was made since this set-up was opened.
        closed: An App has been made, ever.
    """

    token: _Kept | None = None
    browser: _Kept | None = None
    made: bool = False
    closed: bool = False


def issue(session: Session, now: datetime, *, again: bool = False) -> str:
    """A fresh token; an older one is void from now on.

    Args:
        session: A writing transaction.
        now: The time.
        again: Open a set-up that was closed.

    Raises:
        SetupClosedError: It was completed, and nobody said `again`.
    """
    state = _load(session)
    if state.closed and not again:
        raise SetupClosedError(
            "the App has been set up; to make another one, run `raas-server setup --again`"
        )
    token = secrets.token_urlsafe(32)
    fresh = SetupState(token=_Kept(digest=digest(token), until=now + TOKEN_VALID), closed=state.closed)
    _store(session, fresh)
    return token


def redeem(session: Session, token: str, now: datetime) -> str | None:
    """Trade the token for what the browser keeps; None where it is wrong, used or too old."""
    state = _load(session)
    if state.token is None or not state.token.fits(token, now):
        return None
    browser = secrets.token_urlsafe(32)
    state.token = None
    state.browser = _Kept(digest=digest(browser), until=now + BROWSER_VALID)
    _store(session, state)
    return browser


def read(session: Session) -> SetupState:
    """How far it has come."""
    fact = session.get(Fact, FACT)
    return SetupState() if fact is None else SetupState.model_validate_json(fact.value)


def is_open(state: SetupState, now: datetime) -> bool:
    """Whether anybody could go on: a token waits, or a browser is at it."""
    return any(kept is not None and now < kept.until for kept in (state.token, state.browser))


def holds(state: SetupState, browser: str | None, now: datetime) -> bool:
    """Whether this is the browser that may go on."""
    return browser is not None and state.browser is not None and state.browser.fits(browser, now)


def made(session: Session) -> None:
    """The App is made: this is the end of making Apps, not of what follows in that browser."""
    state = _load(session)
    state.made = state.closed = True
    _store(session, state)


def finish(session: Session) -> None:
    """Nobody goes on from here."""
    _store(session, SetupState(closed=_load(session).closed))


def _load(session: Session) -> SetupState:
    fact = session.get(Fact, FACT, with_for_update=True)
    return SetupState() if fact is None else SetupState.model_validate_json(fact.value)


def _store(session: Session, state: SetupState) -> None:
    session.merge(Fact(name=FACT, value=state.model_dump_json()))
