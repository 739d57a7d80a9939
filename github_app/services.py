"""What one server process has: made once by `create_app`, handed to whoever needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import Flask, current_app

if TYPE_CHECKING:
    from github_app.config import Settings
    from github_app.db import Database
    from github_app.dispatch import Dispatcher
    from github_app.github import GitHub
    from github_app.identity import Identity
    from github_app.rate_limits import RateLimits
    from github_app.stores import Store
    from github_app.telemetry import LatestTelemetry
    from github_app.wakeups import Wakeups

EXTENSION = "raas"


@dataclass(frozen=True)
class Services:
    """The parts of a server process.

    Attributes:
        wakeups: Who waits for what inside this process.
        dispatcher: The runners that wait for a job here.
        limits: What GitHub may still be asked.
        identity: Who this server is to robots.
        telemetry: The latest ticks of running jobs, in memory only.
    """

    settings: Settings
    db: Database
    wakeups: Wakeups
    dispatcher: Dispatcher
    telemetry: LatestTelemetry
    store: Store
    github: GitHub
    limits: RateLimits
    identity: Identity


def of(app: Flask) -> Services:
    """The services of an app."""
    return cast("Services", app.extensions[EXTENSION])


def current() -> Services:
    """The services of the app that answers the current request."""
    return cast("Services", current_app.extensions[EXTENSION])
