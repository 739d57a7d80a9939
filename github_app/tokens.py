"""Runners and their tokens: invited once, registered once, revoked. Tokens are stored as digests only."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from github_app.models import Runner
from runner.protocol import Registered

INVITE_VALID = timedelta(days=1)

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
    return token


def register(session: Session, invitation: str, software: str, now: datetime) -> Registered | None:
    """Trade a one-time token for the runner's own; None where it is unknown, used or too old."""
    token = secrets.token_urlsafe(32)
    statement = (
        update(Runner)
        .where(Runner.invite_hash == digest(invitation), Runner.invite_expires_at > now)
        .where(Runner.revoked_at.is_(None))
        .values(invite_hash=None, invite_expires_at=None, token_hash=digest(token))
        .values(software=software, seen_at=now)
        .returning(Runner.name, Runner.labels)
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else Registered(name=row.name, labels=row.labels, token=token)


def bearer(session: Session, token: str) -> int | None:
    """The runner that holds this token."""
    return session.scalar(select(Runner.id).where(Runner.token_hash == digest(token)))


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
    if session.execute(statement.returning(Runner.id)).one_or_none() is None:
        raise RunnerError(f"there is no runner {name}; `raas-server runner list` shows them")


def describe(runner: Runner) -> str:
    """A runner's state in a few words."""
    if runner.revoked_at is not None:
        return "revoked"
    if runner.token_hash is None:
        return "invited, not registered"
    return f"last seen {runner.seen_at:%Y-%m-%d %H:%M:%S} UTC" if runner.seen_at else "registered, never seen"
