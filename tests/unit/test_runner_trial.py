"""Who a job is on its host: known without a trial where Docker does the usual, and told where it fails."""

from __future__ import annotations

from typing import Any

import pytest

from runner import trial

USUAL: dict[str, Any] = {"SecurityOptions": ["name=seccomp,profile=default"], "DefaultRuntime": "runc"}


@pytest.mark.parametrize(
    ("changed", "runtime", "maps"),
    [
        ({}, None, False),
        ({}, "runc", False),
        ({"DefaultRuntime": "crun"}, None, False),
        ({}, "runsc", True),
        ({"DefaultRuntime": "runsc"}, None, True),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}, None, True),
        ({"SecurityOptions": ["name=rootless"]}, None, True),
    ],
)
def test_only_an_engine_that_maps_users_needs_a_trial(
    changed: dict[str, Any], runtime: str | None, maps: bool
) -> None:
    assert trial.maps_users({**USUAL, **changed}, runtime) is maps


def test_a_robot_out_of_reach_comes_with_the_line_to_add() -> None:
    said = trial.explained("warning\nthe robot's socket cannot be reached (Operation not permitted)\n")
    assert said.startswith("the robot's socket cannot be reached (Operation not permitted); ")
    assert "`--host-uds=open`" in said


def test_the_last_line_tells_what_else_went_wrong() -> None:
    assert trial.explained("Traceback:\nImportError: raas_gym\n") == "ImportError: raas_gym"
    assert trial.explained("") == "it did not end within 60 s"
