"""The webhook sender: each delivery once, ten seconds to answer, the outcome recorded.

Deliveries of one App leave one after the other, in the order of their events; GitHub promises no order,
but a person watching expects it. A slow receiver delays its own App only.
"""

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import requests
from sqlalchemy import select, update

from demo.github.db import Database
from demo.github.models import App, Delivery
from demo.github.scope import now

log = logging.getLogger(__name__)

_KEPT_RESPONSE_BYTES = 64 * 1024
_POLL_S = 1.0


def signatures(secret: str, body: bytes) -> dict[str, str]:
    """Return GitHub's two signature headers of a payload."""
    key = secret.encode()
    return {
        "X-Hub-Signature": "sha1=" + hmac.new(key, body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest(),
    }


def headers(app: App, delivery: Delivery) -> dict[str, str]:
    """Return the headers with which a delivery leaves."""
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/5b14f4a",
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Hook-ID": str(app.hook_id),
        "X-GitHub-Hook-Installation-Target-ID": str(app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        **(signatures(app.webhook_secret, delivery.payload) if app.webhook_secret else {}),
    }


class Hookshot:
    """Sends stored deliveries in background threads, one for each App that has some."""

    def __init__(self, database: Database, timeout_s: float, sending: Callable[[Delivery], None]) -> None:
        self._database = database
        self._timeout_s = timeout_s
        self._sending = sending  # sees each delivery before it leaves
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._busy: dict[int, threading.Thread] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._watch, name="hookshot", daemon=True)

    def start(self) -> None:
        """Settle what a crash left in between, then send whatever waits."""
        self._bury_the_unknown()
        self._thread.start()

    def stop(self) -> None:
        """Let the running deliveries end and start no more."""
        self._stopped = True
        self._news.set()
        self._thread.join()
        with self._lock:
            workers = list(self._busy.values())
        for worker in workers:
            worker.join()

    def wake(self) -> None:
        """Look for new deliveries now."""
        self._news.set()

    def _bury_the_unknown(self) -> None:
        # A delivery whose request may have left is never sent again: GitHub sends once.
        unknown = (Delivery.attempted_at.is_not(None), Delivery.status.is_(None))
        with self._database.write() as session:
            session.execute(
                update(Delivery).where(*unknown).values(status="failed to connect to host", duration_s=0.0)
            )

    def _watch(self) -> None:
        while not self._stopped:
            self._news.clear()  # before looking: news that arrive while looking are looked at again
            for app_id in self._waiting():
                self._start_worker(app_id)
            self._news.wait(_POLL_S)

    def _waiting(self) -> list[int]:
        query = select(Delivery.app_id).where(Delivery.attempted_at.is_(None)).distinct()
        with self._database.read() as session:
            return list(session.scalars(query))

    def _start_worker(self, app_id: int) -> None:
        with self._lock:
            if app_id in self._busy or self._stopped:
                return
            name = f"hookshot-{app_id}"
            worker = threading.Thread(target=self._drain, args=(app_id,), name=name, daemon=True)
            self._busy[app_id] = worker
            worker.start()

    def _drain(self, app_id: int) -> None:
        try:
            with requests.Session() as http:
                http.trust_env = False  # a proxy of the environment must not carry webhooks to localhost
                while not self._stopped and self._send_next(http, app_id):
                    pass
        finally:
            with self._lock:
                del self._busy[app_id]
            self._news.set()  # for what came after the last look

    def _send_next(self, http: requests.Session, app_id: int) -> bool:
        query = (
            select(Delivery)
            .where(Delivery.app_id == app_id, Delivery.attempted_at.is_(None))
            .order_by(Delivery.id)
            .limit(1)
        )
        with self._database.write() as session:
            delivery = session.scalar(query)
            if delivery is None:
                return False
            delivery.attempted_at = now()
            delivery.request_headers = headers(delivery.app, delivery)
        self._sending(delivery)
        outcome = self._attempt(http, delivery)
        with self._database.write() as session:
            session.execute(update(Delivery).where(Delivery.id == delivery.id).values(**outcome))
        return True

    def _attempt(self, http: requests.Session, delivery: Delivery) -> dict[str, Any]:
        started = time.monotonic()
        try:
            response = http.post(
                str(delivery.url),
                data=delivery.payload,
                headers=delivery.request_headers,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            timed_out = isinstance(error, requests.Timeout)
            outcome: dict[str, Any] = {"status": "timed out" if timed_out else "failed to connect to host"}
            log.warning("%s %s to %s: %s", delivery.event, delivery.guid, delivery.url, outcome["status"])
        else:
            outcome = {
                "status": "OK" if response.ok else f"Invalid HTTP Response: {response.status_code}",
                "status_code": response.status_code,
                "response_headers": dict(response.headers),
                "response_body": response.content[:_KEPT_RESPONSE_BYTES].decode("utf-8", "replace"),
            }
        return {**outcome, "duration_s": round(time.monotonic() - started, 2)}
