"""An outage of the server, however long: few lines, growing pauses, and asked again soon after its end."""

from __future__ import annotations

import logging
import time

import pytest

from runner.client import RefusedError, UnreachableError
from runner.outage import MOST_S, REFUSED_S, Outage


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def last(outage: Outage, clock: Clock, duration_s: float) -> int:
    """Let an outage last; how often the server was asked."""
    end, tries = clock.now + duration_s, 0
    while clock.now < end:
        outage.failed(UnreachableError(f"connection refused, try {tries}"))
        clock.now += outage.pause_s
        tries += 1
    return tries


def test_an_hour_is_a_few_lines_and_a_few_hundred_tries(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logging.getLogger("outage"), "job 7: heartbeat")
    tries = last(outage, clock, 3600)
    outage.over()
    said = [record.message for record in caplog.records]
    assert 3600 / MOST_S <= tries <= 400
    assert said[0] == "job 7: heartbeat: connection refused, try 0"
    assert said[-1] == "job 7: heartbeat: the server answers again, after 60 min"
    assert len(said) == 7
    assert "(for 10 min now)" in said[1]


def test_the_end_resets_it_and_a_server_that_answers_is_not_spoken_of(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logging.getLogger("outage"))
    outage.over()
    assert (outage.pause_s, caplog.records) == (0, [])
    last(outage, clock, 600)
    outage.over()
    assert outage.pause_s == 0
    outage.failed(UnreachableError("connection refused"))
    assert outage.pause_s <= 2


def test_another_kind_of_failure_is_told_at_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(logging.getLogger("outage"))
    last(outage, clock, 60)
    outage.failed(RefusedError(401, "unknown_runner", "the token was revoked"))
    assert [record.message for record in caplog.records] == [
        "connection refused, try 0",
        "the token was revoked",
    ]
    assert REFUSED_S / 2 < outage.pause_s <= REFUSED_S
