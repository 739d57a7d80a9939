"""Which failed deliveries GitHub is asked for again, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from github_app.github_site import DeliveryFacts
from github_app.redelivery import AT_ONCE_MAX, ATTEMPTS_MAX, due

NOW = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)


def attempt(number: int, minutes_ago: float, *, guid: str = "a", code: int = 502) -> DeliveryFacts:
    return DeliveryFacts(
        id=number,
        guid=guid,
        delivered_at=NOW - timedelta(minutes=minutes_ago),
        event="push",
        status="Invalid HTTP Response",
        status_code=code,
    )


@pytest.mark.parametrize(
    ("ages", "again"),
    [
        ([0.5], False),
        ([1], True),
        ([10, 1.5], False),
        ([10, 2], True),
        ([30, 20, 3.9], False),
        ([30, 20, 4], True),
        ([600] * (ATTEMPTS_MAX - 1), True),
        ([4000] * ATTEMPTS_MAX, False),
    ],
)
def test_pauses_grow_and_end(ages: list[float], again: bool) -> None:
    found = due([attempt(number, age) for number, age in enumerate(ages)], NOW)
    assert [one.id for one in found] == ([len(ages) - 1] if again and len(set(ages)) > 1 else [0] * again)


@pytest.mark.parametrize(("code", "again"), [(0, True), (503, True), (401, True), (400, False), (413, False)])
def test_what_would_be_refused_again_is_left(code: int, again: bool) -> None:
    assert bool(due([attempt(1, 60, code=code)], NOW)) is again


def test_the_oldest_come_first_and_not_too_many_at_once() -> None:
    found = due([attempt(n, 10 + n, guid=f"{n}") for n in range(AT_ONCE_MAX + 20)], NOW)
    assert [one.id for one in found] == list(range(AT_ONCE_MAX + 19, 19, -1))
