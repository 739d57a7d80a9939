"""A passport as people see it: values with units and limits, and what changed between two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from github_app.models import Passport
from github_app.passport_view import HEIGHT, WIDTH, entries, number, parameters
from hardware.passport import Estimate
from hardware.passport import Passport as Calibration
from raas_gym.plants import SimPlant


def kept(version: str, content: dict[str, Any] | None) -> Passport:
    since = datetime(2026, 11, 20, tzinfo=UTC)
    return Passport(runner_id=1, version=version, plant="hardware", since=since, content=content)


def calibrated(gravity: float, half_width: float, **more: Estimate) -> dict[str, Any]:
    found = Calibration(gravity=Estimate(value=gravity, half_width=half_width), **more)
    return found.public(0.05)


def test_a_calibration_stands_with_its_interval_limits_and_history() -> None:
    history = [
        kept("c", calibrated(28.1, 0.1, delay=Estimate(value=0.024, half_width=0.001))),
        kept("b", calibrated(28.6, 0.1, delay=Estimate(value=0.0245, half_width=0.001))),
        kept("a", calibrated(28.55, 0.1)),
    ]
    gravity = parameters(history)[0]
    assert (gravity.quantity.unit, gravity.value, gravity.half_width) == ("1/s²", "28.1", "± 0.1")
    assert gravity.limits == "5 to 200"
    assert gravity.place == pytest.approx((28.1 - 5) / 195)
    xs, ys = zip(*(map(float, point.split(",")) for point in gravity.points.split()), strict=True)
    assert list(xs) == sorted(xs)
    assert 0 < min(xs) <= max(xs) < WIDTH
    assert ys[2] > ys[0] > ys[1] > 0, "down is less"
    assert max(ys) < HEIGHT
    told = entries(history)
    assert told[0].changes == ("gravity 28.6 → 28.1 1/s²",), "the delay's change is within what is not known"
    assert told[1].changes == ("delay 0.02 → 0.0245 s",)
    assert [each.compared for each in told] == [True, True, False]


def test_a_simulation_states_its_parameters() -> None:
    rows = parameters([kept("simulated", dict(SimPlant().passport))])
    assert [row.quantity.name for row in rows][:2] == ["gravity", "torque_gain"]
    assert {row.limits for row in rows} == {row.points for row in rows} == {""}


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"gravity": "<b>", "parameters": [1], "limits": {"gravity": 3}, "half_widths": 7},
        {"gravity": True, "delay": float("nan"), "limits": {"gravity": ["a", None]}},
    ],
)
def test_what_is_not_known_or_makes_no_sense_is_left_out(content: dict[str, Any] | None) -> None:
    history = [kept("b", content), kept("a", calibrated(28.6, 0.1))]
    assert parameters(history) == []
    assert entries(history)[0].changes == ()


def test_numbers_are_written_as_people_do() -> None:
    assert [number(each) for each in (0.0, 28.61, 464.64, 0.0245, 1e-9, -3.0)] == [
        "0", "28.6", "465", "0.0245", "0", "-3",
    ]  # fmt: skip
