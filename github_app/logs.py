"""What the server writes to its log: one line an event, with the request it belongs to.

Addresses are logged without their query: signatures travel there.
"""

from __future__ import annotations

import logging
import secrets
import time

from flask import Flask, Response, g, has_request_context, request

log = logging.getLogger("github_app.requests")

FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"
SLOW_S = 1.0
"""A request that takes longer than this is logged even if it is a mere look."""
WAITING = frozenset({"api.claim"})
"""Endpoints that are meant to take long."""


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = g.get("request_id", "-") if has_request_context() else "-"
        return True


def configure(level: int = logging.INFO) -> None:
    """Write the log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(_RequestId())
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
        log.log(level, "%s %s %d %.1f ms", request.method, request.path, response.status_code, taken * 1000)
        return response
