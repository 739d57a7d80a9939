"""Pictures of recordings: well-formed and bounded, whatever was recorded and however it is called."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from github_app.plots import POINTS_MAX, svg
from raas_gym.trajectory import Header, Trajectory

HEADER = Header("RaasPendulum-v1", 0.05, 400, ("theta", "theta_dot"), ("action",))
hostile = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)


def recorded(values: Any, header: Header = HEADER) -> Trajectory:
    """Rows whose columns all hold the same values, but for time and episode."""
    rows = np.tile(np.asarray(values, dtype=np.float64)[:, None], len(header.columns))
    rows[:, 1] = np.arange(len(rows)) * header.dt
    rows[:, -1] = 0
    return Trajectory(header, rows)


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)  # noqa: S314  # our own


def test_a_run_has_a_panel_for_each_value_and_the_upright_band() -> None:
    picture = parsed(svg(recorded(np.linspace(-3, 3, 400))))
    texts = [node.text for node in picture.iter() if node.text]
    assert "RaasPendulum-v1 on simulation" in texts
    assert {"angle [rad]", "speed [rad/s]", "torque applied"} <= set(texts)
    assert len([node for node in picture.iter() if node.get("stroke-width")]) == 3
    assert len([node for node in picture.iter() if node.get("fill") == "#dafbe1"]) == 1


def test_an_angle_that_passes_the_bottom_is_not_joined_across_the_picture() -> None:
    picture = parsed(svg(recorded([3.1, 3.14, -3.1, -3.0])))
    line = next(node for node in picture.iter() if node.get("stroke-width"))
    assert line.get("d", "").count("M") == 2


def test_a_long_recording_is_thinned_out() -> None:
    assert len(svg(recorded(np.sin(np.arange(100_000))))) < 3 * POINTS_MAX * 16 + 10_000


@settings(max_examples=60)
@given(arrays(np.float64, st.integers(0, 50)), hostile, st.lists(hostile, max_size=12, unique=True))
def test_every_picture_is_well_formed(values: Any, name: str, columns: list[str]) -> None:
    header = replace(HEADER, env_id=name, robot=name, observation_columns=("theta", *columns))
    root = parsed(svg(recorded(values, header)))
    assert root.tag.endswith("svg")
    assert not [node for node in root.iter() if node.tag.rpartition("}")[2] in ("script", "a", "image")]
    lines = "".join(node.get("d", "") for node in root.iter())
    assert not re.search("nan|inf|e[+-]", lines)
