"""Runners and their tokens: invited once, registered once, revoked. Tokens are stored as digests only."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from github_app.models import Fact, Runner
from github_app.moves import utc_now
from runner.protocol import Registered

INVITE_VALID = timedelta(days=1)

OLD_VALID = timedelta(hours=1)
"""After a rotation the old token is good for so long: until the runner was restarted."""

_OLD = "old-token:"
"""Facts of this name and an old token's digest say whose it was and until when it is good."""

PLANTS = frozenset({"simulated", "hardware"})
"""Labels no host gives: `--sim` must never reach a real robot, nor `--robot hardware` a simulated one."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class RunnerError(Exception):
    """The runner cannot be added or changed so; the message says why."""


def digest(token: str) -> str:
    """How a token is stored. It has 256 random bits, so a plain SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def invite(session: Session, name: str, labels: Sequence[str], now: datetime) -> str:
    """Add a runner, or invite one again that lost its token; its old token is void from now on.

    Returns:
        The one-time token, valid for a day.

    Raises:
        RunnerError: The name or a label is none.
    """
    for text in (name, *labels):
        if not _NAME.fullmatch(text):
            raise RunnerError(f"{text!r} is no name or label; use a-z, 0-9, dot, dash and underscore")
        if text in PLANTS:
            raise RunnerError(f"{text!r} is what a robot says of itself, by its plant; leave it out")
    token = secrets.token_urlsafe(32)
    runner = session.scalar(select(Runner).where(Runner.name == name).with_for_update())
    if runner is None:
        runner = Runner(name=name, labels=[], created_at=now)
        session.add(runner)
    runner.labels = sorted(set(labels) or set(runner.labels))
    runner.token_hash = runner.revoked_at = None
    runner.invite_hash, runner.invite_expires_at = digest(token), now + INVITE_VALID
    session.flush()
    _forget_old(session, runner.id)
    return token


def rotate(session: Session, name: str, now: datetime) -> str:
    """Let a registered runner trade its token for another without a pause.

    Its token stays good, also for `OLD_VALID` after the new one was fetched. For a token that leaked that
    is too long: `revoke` and `invite` void it at once.

    Returns:
        The one-time token, valid for a day.

    Raises:
        RunnerError: No runner of that name is registered.
    """
    token = secrets.token_urlsafe(32)
    statement = (
        update(Runner)
        .where(Runner.name == name, Runner.token_hash.is_not(None))
        .values(invite_hash=digest(token), invite_expires_at=now + INVITE_VALID)
    )
    if session.execute(statement.returning(Runner.id)).one_or_none() is None:
        raise RunnerError(f"no runner {name} is registered; `raas-server runner add {name}` invites it")
    return token


def register(session: Session, invitation: str, software: str, now: datetime) -> Registered | None:
    """Trade a one-time token for the runner's own; None where it is unknown, used or too old."""
    token = secrets.token_urlsafe(32)
    wanted = (
        select(Runner)
        .where(Runner.invite_hash == digest(invitation), Runner.invite_expires_at > now)
        .where(Runner.revoked_at.is_(None))
    )
    runner = session.scalar(wanted.with_for_update())
    if runner is None:
        return None
    _forget_old(session, runner.id)
    if runner.token_hash is not None:
        session.add(Fact(name=_OLD + runner.token_hash, value=f"{runner.id} {(now + OLD_VALID).isoformat()}"))
    runner.invite_hash = runner.invite_expires_at = None
    runner.token_hash, runner.software, runner.seen_at = digest(token), software, now
    return Registered(name=runner.name, labels=runner.labels, token=token)


def bearer(session: Session, token: str) -> int | None:
    """The runner that holds this token, or held it until it was rotated a moment ago."""
    kept = digest(token)
    found = session.scalar(select(Runner.id).where(Runner.token_hash == kept))
    if found is not None:
        return found
    old = session.get(Fact, _OLD + kept)
    if old is None:
        return None
    number, _, until = old.value.partition(" ")
    return int(number) if utc_now() < datetime.fromisoformat(until) else None


def _forget_old(session: Session, runner: int) -> None:
    session.execute(delete(Fact).where(Fact.name.startswith(_OLD), Fact.value.startswith(f"{runner} ")))


def revoke(session: Session, name: str, now: datetime) -> None:
    """Void a runner's tokens. Its job, if it has one, loses its lease.

    Raises:
        RunnerError: There is none of that name.
    """
    statement = (
        update(Runner)
        .where(Runner.name == name)
        .values(token_hash=None, invite_hash=None, invite_expires_at=None, revoked_at=now)
    )
    found = session.execute(statement.returning(Runner.id)).one_or_none()
    if found is None:
        raise RunnerError(f"there is no runner {name}; `raas-server runner list` shows them")
    _forget_old(session, found.id)


def describe(runner: Runner) -> str:
    """A runner's state in a few words."""
    if runner.revoked_at is not None:
        return "revoked"
    if runner.token_hash is None:
        return "invited, not registered"
    return f"last seen {runner.seen_at:%Y-%m-%d %H:%M:%S} UTC" if runner.seen_at else "registered, never seen"
