"""What the server writes to its log: one line an event, with the request and the job it belongs to.

As text for people, or as JSON for programs that collect logs. Addresses are logged without their query:
signatures travel there. Who logs about a job says so by `extra=about(job_id)`; a request's route says it.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from datetime import UTC, datetime

from flask import Flask, Response, g, has_request_context, request

log = logging.getLogger("github_app.requests")

TEXT = "%(asctime)s %(levelname)-7s %(name)s [%(context)s] %(message)s"
SLOW_S = 1.0
"""A request that takes longer than this is logged even if it is a mere look."""
WAITING = frozenset({"api.claim"})
"""Endpoints that are meant to take long."""


def about(job_id: int) -> dict[str, int]:
    """The `extra` of a line about a job."""
    return {"job": job_id}


class _Context(logging.Filter):
    """Puts the request's number and the job's onto each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        there = has_request_context()
        number = g.get("request_id") if there else None
        about_job = getattr(record, "job", None) or (
            (request.view_args or {}).get("job_id") if there else None
        )
        record.request, record.job = number, about_job
        record.context = " ".join(filter(None, (number, f"job {about_job}" if about_job else ""))) or "-"
        return True


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        for name in ("request", "job", "method", "path", "status", "milliseconds"):
            if (value := getattr(record, name, None)) is not None:
                fields[name] = value
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def configure(level: int = logging.INFO, *, as_json: bool = False) -> None:
    """Write the log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if as_json else logging.Formatter(TEXT))
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
        quiet = response.status_code < 400 and request.method in {"GET", "HEAD"} and not slow
        level = logging.DEBUG if quiet else logging.INFO
        fields = {
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "milliseconds": round(taken * 1000, 1),
        }
        log.log(level, "%(method)s %(path)s %(status)d %(milliseconds).1f ms", fields, extra=fields)
        return response
