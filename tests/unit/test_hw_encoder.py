"""Quadrature decoding and the velocity's error bound."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.encoder import Edge, Encoder, QuadratureDecoder

GRAY = [(0, 0), (1, 0), (1, 1), (0, 1)]


@given(st.lists(st.sampled_from([-1, 1]), max_size=200), st.integers(0, 3))
def test_legal_walks_are_counted_exactly(steps: list[int], start: int) -> None:
    decoder, position, count = QuadratureDecoder(*GRAY[start]), start, 0
    for step in steps:
        position += step
        assert decoder.feed(*GRAY[position % 4]) == step
        count += step
    assert (start + count) % 4 == position % 4
    assert decoder.illegal == 0


@pytest.mark.parametrize("start", range(4))
def test_both_channels_at_once_is_illegal_and_moves_nothing(start: int) -> None:
    decoder = QuadratureDecoder(*GRAY[start])
    assert decoder.feed(*GRAY[(start + 2) % 4]) == 0
    assert decoder.feed(*GRAY[(start + 2) % 4]) == 0, "no change is no step"
    assert decoder.illegal == 1
    assert decoder.feed(*GRAY[(start + 3) % 4]) == 1, "and it goes on from there"


def edges_of(position: list[tuple[float, float]]) -> list[Edge]:
    """The edges of a piecewise linear motion (t, counts)."""
    edges = []
    for (t0, x0), (t1, x1) in itertools.pairwise(position):
        step = 1 if x1 > x0 else -1
        first, last = (math.floor(x + 0.5) for x in (x0, x1))
        for n in range(first, last, step):
            boundary = n + 0.5 * step
            edges.append(Edge(t0 + (boundary - x0) / (x1 - x0) * (t1 - t0), step))
    return edges


motion = st.tuples(
    st.floats(-1000.0, 1000.0),
    st.lists(st.floats(-1.0, 1.0), min_size=8, max_size=40),
    st.floats(-0.49, 0.49),
)


@given(motion, st.floats(0.0, 2e-3))
def test_the_velocity_is_within_its_bound(
    given_motion: tuple[float, list[float], float], late: float
) -> None:
    """Any motion with bounded acceleration, edges that arrive late: the truth is within the bound."""
    v, controls, x = given_motion
    most, dt = 5000.0, 0.0005
    t, path, speeds = 0.0, [(0.0, x)], [v]
    for control in controls:
        for _ in range(10):
            v += control * most * dt
            t += dt
            x += (v - 0.5 * control * most * dt) * dt
            path.append((t, x))
            speeds.append(v)
    encoder = Encoder(0, max_acceleration=most)
    edges = edges_of(path)
    fed = 0
    # A piecewise linear path deviates from the true one by a·dt²/8; its chords by a·dt in velocity.
    slack = most * dt
    for (now, where), speed in list(zip(path, speeds, strict=True))[1:]:
        batch = [edge for edge in edges[fed:] if edge.t <= now - late]
        fed += len(batch)
        encoder.feed(batch)
        if not late:
            assert abs(encoder.count - where) <= 0.5 + 1e-6
        estimate, bound = encoder.velocity(now)
        assert abs(estimate - speed) <= bound + slack


def test_a_steady_shaft_is_measured_closely() -> None:
    encoder = Encoder(0, max_acceleration=5000.0)
    encoder.feed(Edge(k / 700, 1) for k in range(1, 400))
    estimate, bound = encoder.velocity(399 / 700)
    assert estimate == pytest.approx(700, rel=1e-9)
    assert bound < 5000.0 * 0.03 + 10


def test_an_edge_under_way_is_no_brake() -> None:
    """At 16 rad/s an edge is due every 0.8 ms, and none is there that young."""
    encoder = Encoder(0)
    encoder.feed(Edge(k / 1200, 1) for k in range(1, 400))
    for age in (0.0, 0.0009, 0.0019):
        assert encoder.velocity(399 / 1200 + age).estimate == pytest.approx(1200, rel=1e-9)
    assert encoder.velocity(399 / 1200 + 0.02).estimate < 60.0


def test_a_shaft_that_stops_is_seen_to_stop() -> None:
    encoder = Encoder(0)
    encoder.feed(Edge(k / 700, 1) for k in range(1, 100))
    assert abs(encoder.velocity(99 / 700 + 0.5).estimate) <= 2.01
    assert encoder.last_edge_at == pytest.approx(99 / 700)
