"""The passports a robot came with, one after the other: noted as a claim brings another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app.models import Passport, Runner
from runner.protocol import RobotReport

UNKNOWN = "unknown"
"""What a runner says that never reached its controller."""
SHOWN_MAX = 50


def changed(last: Mapping[str, Any] | None, report: RobotReport) -> bool:
    """Whether the robot's last report named another passport. Asked at each claim, so it reads nothing."""
    known = last or {}
    now = (report.passport, report.plant)
    return report.passport != UNKNOWN and (known.get("passport"), known.get("plant")) != now


def note(session: Session, runner_id: int, report: RobotReport, now: datetime) -> None:
    """Add the passport to the robot's history, unless it is its latest. The robot's row is locked."""
    session.execute(select(Runner.id).where(Runner.id == runner_id).with_for_update())
    latest = next(iter(history(session, runner_id, most=1)), None)
    if latest is None or (latest.version, latest.plant) != (report.passport, report.plant):
        session.add(
            Passport(runner_id=runner_id, version=report.passport, plant=report.plant, since=now),
        )


def history(session: Session, runner_id: int, *, most: int = SHOWN_MAX) -> Sequence[Passport]:
    """The robot's passports, the latest first."""
    found = select(Passport).where(Passport.runner_id == runner_id)
    return session.scalars(found.order_by(Passport.since.desc(), Passport.id.desc()).limit(most)).all()
