"""A server that only receives: no background loops, no GitHub."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from github_app import config, services
from github_app.app import close, create_app
from github_app.models import Delivery

SECRET = "It's a Secret to Everybody"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    settings = config.load(
        {"RAAS_DATA_DIR": str(tmp_path), "RAAS_OWNERS": "*", "RAAS_GITHUB_WEBHOOK_SECRET": SECRET}
    )
    made = create_app(settings)
    services.of(made).db.upgrade()
    yield made
    close(made)


@pytest.fixture
def stored(app: Flask) -> Callable[[], list[Delivery]]:
    """The deliveries in the database."""

    def read() -> list[Delivery]:
        with services.of(app).db.read() as session:
            return list(session.scalars(select(Delivery).order_by(Delivery.id)))

    return read


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.fixture
def deliver(app: Flask) -> Callable[..., TestResponse]:
    """Send a delivery as GitHub does. Headers can be changed, or left out with None."""
    client = app.test_client()

    def send(payload: Any, event: str = "ping", **changed: str | None) -> TestResponse:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": sign(body),
            "Content-Type": "application/json",
        }
        headers.update({key.replace("_", "-"): value for key, value in changed.items()})  # type: ignore[misc]
        kept = {key: value for key, value in headers.items() if value is not None}
        return client.post("/webhooks/github", data=body, headers=kept)

    return send
