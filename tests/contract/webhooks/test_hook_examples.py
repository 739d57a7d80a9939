"""GitHub's own examples of every webhook: none is answered with a 5xx, none stops the trigger loop."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from needs import need
from werkzeug.test import TestResponse

from demo.openapi import UnavailableError, webhook_examples
from github_app import payloads, triggers
from github_app.models import Delivery


def examples() -> list[tuple[str, dict[str, Any]]]:
    try:
        by_event = webhook_examples()
    except UnavailableError as error:
        need(False, "GitHub's example payloads", str(error))
        return []
    return [(event, example) for event, found in by_event.items() for example in found]


def as_sent_to_an_app(example: dict[str, Any]) -> dict[str, Any]:
    """Most examples were sent to webhooks of repositories, which carry no installation."""
    completed = copy.deepcopy(example)
    completed.setdefault("installation", {"id": 1, "node_id": "x"})
    return completed


def test_every_example_is_answered(
    deliver: Callable[..., TestResponse], stored: Callable[[], list[Delivery]]
) -> None:
    found = examples()
    answered = [(event, deliver(example, event).status_code) for event, example in found]
    assert len(answered) >= 300
    assert {status for _, status in answered} <= {202, 400}
    refused = {event for event, status in answered if status == 400}
    assert refused <= triggers.ACTED_UPON - {"installation", "installation_repositories"}  # name none
    assert len(stored()) == sum(status == 202 for _, status in answered)


def test_every_example_an_app_could_get_is_accepted(deliver: Callable[..., TestResponse]) -> None:
    for event, example in examples():
        answer = deliver(as_sent_to_an_app(example), event)
        assert answer.status_code == 202, (event, answer.get_json())


@pytest.mark.parametrize("event", sorted(payloads.MODELS))
def test_there_is_an_example_of_everything_acted_upon(event: str) -> None:
    assert any(name == event for name, _ in examples())


def test_every_accepted_example_is_processed(
    app: Flask, deliver: Callable[..., TestResponse], stored: Callable[[], list[Delivery]]
) -> None:
    """Without credentials GitHub cannot be asked: what needs that is given up with a reason, at once."""
    for event, example in examples():
        if event in payloads.MODELS:
            deliver(json.dumps(as_sent_to_an_app(example)).encode(), event)
    while triggers.process_pending(app):
        pass
    assert stored()
    for row in stored():
        assert row.processed_at is not None, (row.event, row.error)
        assert row.error is None or "the GitHub App is not set up" in row.error
