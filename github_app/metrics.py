"""`GET /metrics`: figures for Prometheus.

Two kinds. What the installation as a whole does is asked from the database at each scrape, so that every
server process says the same and nothing is lost by a restart. What a process does (requests) is counted
in it; where `SHARED` names a directory (`cli.serve` does), the worker processes of one host share their
counts there.

No figure names a repository, a person or a commit: the page is public unless a proxy hides it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import cast

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Histogram, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from github_app import outlook, services
from github_app.columns import is_live, is_queued
from github_app.db import Database
from github_app.models import Delivery, Job, JobEvent, Runner
from github_app.moves import utc_now
from raas_gym.version import __version__

SETTLE = timedelta(seconds=5)
"""An event younger than this may have a neighbour of a smaller number that is not committed yet."""
FRESH_S = 2.0
"""Scrapes that follow one another this closely [s] get the same figures from the database."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
REQUESTS = "raas.requests"


def forget(pid: int) -> None:
    """A worker process is gone."""
    if SHARED in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def requests(app: Flask) -> Histogram:
    """Where requests are counted that Flask never sees, by method, route and status [s]."""
    return cast("Histogram", app.extensions[REQUESTS])


def install(app: Flask) -> None:
    """Count requests, and answer `/metrics`."""
    registry = CollectorRegistry()
    times = app.extensions[REQUESTS] = Histogram(
        "raas_http_request_seconds",
        "Time to answer a request; a runner's claim waits by design.",
        ("method", "route", "status"),
        buckets=BUCKETS,
        registry=registry,
    )
    shown = registry
    if SHARED in os.environ:
        shown = CollectorRegistry()
        multiprocess.MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
    shown.register(Installation(services.of(app).db))

    @app.after_request
    def observe(response: Response) -> Response:
        if "began" in g:
            route = request.url_rule.rule if request.url_rule else "none"
            method = request.method if request.url_rule else "any"  # strangers may invent methods
            times.labels(method, route, str(response.status_code)).observe(time.perf_counter() - g.began)
        return response

    @app.get("/metrics")
    def metrics() -> Response:
        """In the form that the scraper prefers."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(shown), content_type=content_type)


class Installation(Collector):
    """What the database says about all server processes, runners and jobs together."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._history = History()
        self._fresh_until = 0.0
        self._found: list[Metric] = []

    def describe(self) -> Iterator[Metric]:
        """Nothing: the database need not be there when this is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Ask, at most once every `FRESH_S`."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                with self._db.read() as session:
                    self._found = [*_now(session, utc_now()), *self._history.read(session, utc_now())]
                self._fresh_until = time.monotonic() + FRESH_S
            return iter(self._found)


class History:
    """Totals over `job_events`, carried on from scrape to scrape: each reads only what is new."""

    def __init__(self) -> None:
        self._last = 0
        self._events: Counter[str] = Counter()
        self._conclusions: Counter[str] = Counter()

    def read(self, session: Session, now: datetime) -> Iterator[Metric]:
        """The totals by now; the newest seconds come next time."""
        conclusion = JobEvent.data["conclusion"].as_string()
        rows = session.execute(
            select(JobEvent.kind, conclusion, func.count(), func.max(JobEvent.id))
            .where(JobEvent.id > self._last, JobEvent.at <= now - SETTLE)
            .group_by(JobEvent.kind, conclusion)
        ).all()
        for kind, concluded, number, last in rows:
            self._events[kind] += number
            if concluded is not None:
                self._conclusions[concluded] += number
            self._last = max(self._last, last)
        moved = CounterMetricFamily("raas_job_events", "What happened to jobs.", labels=["kind"])
        for kind, number in sorted(self._events.items()):
            moved.add_metric([kind], number)
        over = CounterMetricFamily(
            "raas_jobs_completed", "How jobs ended; an amended one counts twice.", labels=["conclusion"]
        )
        for concluded, number in sorted(self._conclusions.items()):
            over.add_metric([concluded], number)
        yield from (moved, over)


def _now(session: Session, now: datetime) -> Iterator[Metric]:
    about = GaugeMetricFamily("raas_build", "The software; always 1.", labels=["version"])
    about.add_metric([__version__], 1)
    yield about
    jobs = GaugeMetricFamily("raas_jobs", "Jobs that are not over.", labels=["status"])
    waiting, oldest = session.execute(
        select(func.count(), func.min(Job.created_at)).where(is_queued(Job.status))
    ).one()
    jobs.add_metric(["queued"], waiting)
    live = select(Job.status, func.count()).where(is_live(Job.status)).group_by(Job.status)
    counted = {row[0]: row[1] for row in session.execute(live)}
    for status in ("claimed", "running"):
        jobs.add_metric([status], counted.get(status, 0))
    yield jobs
    age = 0.0 if oldest is None else (now - oldest).total_seconds()
    yield GaugeMetricFamily("raas_queue_oldest_seconds", "How long the oldest queued job has waited.", age)
    yield _runners(session, now)
    yield GaugeMetricFamily(
        "raas_deliveries_waiting",
        "Webhook deliveries that are stored and not worked on.",
        _count(session, select(func.count()).select_from(Delivery).where(Delivery.processed_at.is_(None))),
    )
    yield GaugeMetricFamily(
        "raas_check_runs_behind",
        "Jobs whose check run does not show their latest state.",
        _count(session, select(func.count()).select_from(Job).where(Job.reported_event < Job.latest_event)),
    )


def _runners(session: Session, now: datetime) -> Metric:
    states: Counter[str] = Counter()
    rows = session.execute(select(Runner.seen_at, Runner.robot).where(Runner.revoked_at.is_(None)))
    for seen_at, robot in rows:
        if seen_at is None or now - seen_at >= outlook.ONLINE:
            states["offline"] += 1
        else:
            states["online" if robot and robot.get("healthy") else "unhealthy"] += 1
    family = GaugeMetricFamily("raas_runners", "Runners by what is known of them.", labels=["state"])
    for state in ("online", "unhealthy", "offline"):
        family.add_metric([state], states[state])
    return family


def _count(session: Session, statement: Select[int]) -> int:
    return session.execute(statement).scalar_one()
