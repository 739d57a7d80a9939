"""Every hostile repository is contained and told in one sentence; the robot is well, the next job on time.

A few run here; all of them with `make hostile`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hostile.arena import FRIENDLY, REPOSITORIES, Arena, Ended, arena, expectations

from raas_gym.trajectory import load

EXPECTED = expectations()
NEXT_JOB_S = 30.0
"""How soon an honest job is over after a hostile one [s]; it takes 2 s on an idle machine."""

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def ring(runtime: str) -> Iterator[Arena]:
    with arena(runtime) as ring:
        yield ring


def test_the_table_is_complete() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in REPOSITORIES.iterdir())
    assert len(EXPECTED) >= 30


def _cases() -> Iterator[Any]:
    for name, expected in sorted(EXPECTED.items()):
        yield pytest.param(name, expected, marks=[] if expected.get("short") else [pytest.mark.hostile])


@pytest.mark.parametrize(("name", "expected"), list(_cases()))
def test_it_is_contained_and_told(name: str, expected: dict[str, Any], ring: Arena, runtime: str) -> None:
    if runtime:
        expected = expected | expected.get("gvisor", {})
    ended = ring.run(REPOSITORIES / name)
    assert set(re.findall("BREACH: (.*)", ended.log)) <= set(expected.get("granted", []))
    assert re.fullmatch(expected["conclusion"], ended.finish.conclusion.value), ended.finish.reason
    assert re.fullmatch(expected["reason"], ended.finish.reason), ended.finish.reason
    assert expected.get("log", "") in ended.log
    _check_results(ended, expected)
    assert ring.leftovers() == []
    _check_the_robot(ring)


def _check_results(ended: Ended, expected: dict[str, Any]) -> None:
    sessions = ended.finish.sessions
    if "return_below" in expected:
        assert sessions[0].scores["episode_return"] < expected["return_below"]
    assert set(expected.get("kept", [])) <= set(ended.files)
    assert not set(expected.get("dropped", [])) & set(ended.files)
    assert len(ended.files) <= 100
    assert sum(path.stat().st_size for path in ended.files.values()) <= 40_000_000
    if sessions and sessions[0].steps:
        recorded = load(ended.files["trajectory.npz"])  # the recorder's own, whatever the program wrote
        assert 0 < len(recorded) <= sessions[0].ticks


def _check_the_robot(ring: Arena) -> None:
    """It is idle and healthy, and an honest job is served as if nothing had been."""
    assert ring.tools.control.status().state == "idle"
    friendly = ring.run(FRIENDLY)
    assert friendly.finish.conclusion.value == "success", friendly.finish.reason
    assert friendly.finish.sessions[0].steps == 10
    assert friendly.seconds < NEXT_JOB_S
    assert ring.leftovers() == []
