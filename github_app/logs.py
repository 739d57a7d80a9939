"""What the server writes to its log: one line an event, with the request and the job it belongs to.

As text for people, or as JSON for programs that collect logs. Addresses are logged without their query:
signatures travel there. Who logs about a job says so by `extra=about(job_id)`; a request's route says it.
"""

from __future__ import annotations

import logging
import secrets
import time

from flask import Flask, Response, g, has_request_context, request

from raas_gym import daemon_logs

log = logging.getLogger("github_app.requests")

TEXT = "%(levelname)-7s %(name)s [%(context)s] %(message)s"
SLOW_S = 1.0
"""A request that takes longer than this is logged even if it is a mere look."""
WAITING = frozenset({"api.claim"})
"""Endpoints that are meant to take long."""
BEATS = frozenset({"api.claim", "api.heartbeat", "api.telemetry"})
"""What every runner sends all the time: no event where it is answered as usual. The job's own lines tell what
comes of it."""
_FIELDS = ("request", "method", "path", "status", "milliseconds")


def about(job_id: int) -> dict[str, int]:
    """The `extra` of a line about a job."""
    return {"job": job_id}


class _Context(logging.Filter):
    """Puts the request's number and the job's onto each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        there = has_request_context()
        number = g.get("request_id") if there else None
        about_job = daemon_logs.job_of(record)
        if about_job is None and there:
            about_job = (request.view_args or {}).get("job_id")
        record.request, record.job = number, about_job
        record.context = " ".join(filter(None, (number, f"job {about_job}" if about_job else ""))) or "-"
        return True


def configure(level: int = logging.INFO, *, as_json: bool = False) -> None:
    """Write the log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        daemon_logs.Json(_FIELDS) if as_json else daemon_logs.Text(daemon_logs.stamped(TEXT))
    )
    handler.addFilter(_Context())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Both log addresses with everything in them.
    for chatty in ("httpx", "httpcore", "botocore", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def install(app: Flask) -> None:
    """Number the requests and log how they ended."""

    @app.before_request
    def begin() -> None:
        g.request_id = secrets.token_hex(4)
        g.began = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        taken = time.perf_counter() - g.get("began", time.perf_counter())
        response.headers["X-Request-Id"] = g.get("request_id", "-")
        slow = taken > SLOW_S and request.endpoint not in WAITING
        usual = request.method in {"GET", "HEAD"} or request.endpoint in BEATS
        quiet = response.status_code < 400 and usual and not slow
        level = logging.DEBUG if quiet else logging.INFO
        fields = {
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "milliseconds": round(taken * 1000, 1),
        }
        log.log(level, "%(method)s %(path)s %(status)d %(milliseconds).1f ms", fields, extra=fields)
        return response
