"""When the next job is claimed ahead: shortly before the robot may be expected to be free."""

from __future__ import annotations

import threading

import pytest

from runner.outlook import LEAD_S, LINGER_S, Outlook


@pytest.mark.parametrize(
    ("horizon_s", "timeout_s", "near"),
    [
        (LEAD_S - 1, 120.0, True),  # the task is scored soon
        (LEAD_S + 5, 120.0, False),
        (3600.0, LEAD_S - 1, True),  # its time is up soon
        (1 - LINGER_S, 120.0, True),  # it was scored, and may end at any time
        (-1 - LINGER_S, 120.0, False),  # it goes on for long after it was scored
        (-1 - LINGER_S, LEAD_S - 1, True),  # but not much longer
        (-1 - LINGER_S, -100.0, True),
    ],
)
def test_an_end_is_near_around_the_horizon_and_before_the_limit(
    horizon_s: float, timeout_s: float, near: bool
) -> None:
    outlook = Outlook()
    outlook.expect(horizon_s, timeout_s)
    assert outlook.near is near


def test_before_the_last_session_nothing_is_near() -> None:
    outlook = Outlook()
    assert not outlook.near
    assert not outlook.wait_until_over(0)


def test_who_waits_is_told_of_the_session_and_of_its_end() -> None:
    outlook, told = Outlook(), list[bool]()
    waiting = threading.Thread(target=lambda: told.append(outlook.wait_until_near()))
    waiting.start()
    outlook.expect(1.0, 1.0)
    waiting.join(30)
    outlook.end()
    assert [*told, outlook.wait_until_near()] == [True, False]
    assert (outlook.over, outlook.near, outlook.wait_until_over(0)) == (True, True, True)


def test_an_end_that_comes_early_ends_the_waiting() -> None:
    outlook, told = Outlook(), list[bool]()
    outlook.expect(1000.0, 1000.0)
    waiting = threading.Thread(target=lambda: told.append(outlook.wait_until_near()))
    waiting.start()
    outlook.end()
    waiting.join(30)
    assert told == [False]
