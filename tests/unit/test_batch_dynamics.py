"""Thousands of pendulums move as one does: `BatchDynamics` against the functions of `raas_gym.dynamics`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raas_gym.batch import OWN, BatchDynamics
from raas_gym.dynamics import (
    DEFAULT_SPREAD,
    IDEAL,
    MEASURED,
    RAW_MOTOR,
    PendulumParams,
    make_drive,
    make_sensor,
    make_step,
    randomized,
)
from raas_gym.streams import BLOCK, UniformStreams, seeds_of

VARIANTS = {
    "ideal": IDEAL,
    "measured": MEASURED,
    "raw_motor": RAW_MOTOR,
    "exact sensors": replace(MEASURED, encoder_count=0.0, velocity_window=0.0),
    "exact encoder": replace(MEASURED, encoder_count=0.0),
    "true speed": replace(MEASURED, velocity_window=0.0),
    "whole window": replace(MEASURED, velocity_window=0.05),
    "no delay": replace(MEASURED, delay=0.0),
    "odd delay": replace(MEASURED, delay=0.0337),
    "one sub-step": replace(MEASURED, substeps=1, velocity_window=0.05),
}
GRID = np.linspace(-50, 50, 9999)
SAME_SINE = np.sin(GRID).tolist() == [math.sin(angle) for angle in GRID.tolist()]
"""NumPy's sine is the C library's on this machine, so that equal means equal to the bit."""
TORQUES = st.floats(-2, 2) | st.sampled_from([-2.0, -0.05, -0.0, 0.0, 0.05, 2.0])
SPEEDS = st.floats(-20, 20) | st.sampled_from([-0.0, 0.0])
STATES = st.tuples(st.floats(-40, 40), SPEEDS, TORQUES, TORQUES)


def one_period(
    params: PendulumParams, theta: float, theta_dot: float, old: float, new: float
) -> tuple[float, ...]:
    """State and measurement one period later, by the scalar functions."""
    drive, sensor = make_drive(params) or float, make_sensor(params)
    state = make_step(params)((theta, theta_dot, theta, drive(old)), drive(new))
    seen = state if sensor is None else sensor(state)
    return state[0], state[1], state[2], seen[0], seen[1]


def one_period_of_all(dynamics: BatchDynamics, columns: list[np.ndarray]) -> list[np.ndarray]:
    theta, theta_dot, old, new = columns
    state = dynamics.step(theta, theta_dot, dynamics.drive(old), dynamics.drive(new))
    return [*state, *dynamics.measure(*state)]


@pytest.mark.parametrize("name", VARIANTS)
@given(states=st.lists(STATES, min_size=1, max_size=6))
@settings(max_examples=60)
def test_float64_is_the_scalar_step(name: str, states: list[tuple[float, ...]]) -> None:
    params = VARIANTS[name]
    wanted = np.array([one_period(params, *state) for state in states]).T
    columns = [np.array(column) for column in zip(*states, strict=True)]
    got = one_period_of_all(BatchDynamics(params, len(states)), columns)
    # Not a bit more than NumPy's sine may differ from the C library's.
    np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-13)
    if SAME_SINE:
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", VARIANTS)
def test_float32_stays_close_for_a_step(name: str) -> None:
    rng, params = np.random.default_rng(0), replace(VARIANTS[name], encoder_count=0.0)
    columns = [rng.uniform(-high, high, 4096) for high in (8.0, 12.0, 2.0, 2.0)]
    columns = [column.astype(np.float32).astype(np.float64) for column in columns]
    exact = one_period_of_all(BatchDynamics(params, 4096), columns)
    coarse = one_period_of_all(
        BatchDynamics(params, 4096, np.float32), [column.astype(np.float32) for column in columns]
    )
    assert all(one.dtype == np.float32 for one in coarse)
    for one, other in zip(coarse[:3], exact[:3], strict=True):
        assert np.abs(one - other).max() < 1e-5


@given(seed=st.integers(0, 2**32), names=st.sets(st.sampled_from(sorted(DEFAULT_SPREAD)), min_size=1))
@settings(max_examples=30)
def test_randomize_is_randomized(seed: int, names: set[str]) -> None:
    spread = {name: DEFAULT_SPREAD[name] for name in names}
    dynamics, streams = BatchDynamics(MEASURED, 3), UniformStreams(3)
    rows = np.arange(3)
    for row in rows.tolist():
        streams.seed(row, seed + row)
    dynamics.randomize(rows, MEASURED, spread, streams.draw(rows, len(spread)))
    for row in rows.tolist():
        wanted = randomized(MEASURED, spread, np.random.default_rng(seed + row))
        assert {name: dynamics.own[name][row] for name in OWN} == {
            name: getattr(wanted, name) for name in OWN
        }


def test_each_pendulum_has_its_own_parameters() -> None:
    dynamics = BatchDynamics(MEASURED, 3)
    heavy = replace(MEASURED, gravity=40.0, delay=0.0, coulomb=0.2)
    dynamics.assign(np.array([1]), heavy)
    state = (2.0, 0.0, 0.5, 1.0)
    got = np.array(one_period_of_all(dynamics, [np.full(3, value) for value in state])).T
    np.testing.assert_allclose(got[0], one_period(MEASURED, *state), rtol=1e-13)
    np.testing.assert_allclose(got[1], one_period(heavy, *state), rtol=1e-13)
    np.testing.assert_array_equal(got[0], got[2])


def test_what_a_batch_refuses() -> None:
    dynamics = BatchDynamics(MEASURED, 2)
    rows, half = np.arange(2), np.full((2, 1), 1.0)
    with pytest.raises(ValueError, match="share dt"):
        dynamics.assign(slice(None), replace(MEASURED, dt=0.1))
    with pytest.raises(ValueError, match="cannot randomize 'dt'"):
        dynamics.randomize(rows, MEASURED, {"dt": 0.1}, half)
    with pytest.raises(ValueError, match="between 0 and 1"):
        dynamics.randomize(rows, MEASURED, {"delay": 1.5}, half)
    with pytest.raises(ValueError, match="smaller spread"):
        dynamics.randomize(rows, replace(MEASURED, dead_zone=1.9), {"dead_zone": 0.5}, half)


@given(seed=st.integers(0, 2**63), counts=st.lists(st.integers(1, 11), max_size=30))
@settings(max_examples=40)
def test_streams_draw_what_a_generator_draws(seed: int, counts: list[int]) -> None:
    streams, generator = UniformStreams(2), np.random.default_rng(seed)
    streams.seed(1, seed)
    for count in counts:
        drawn = streams.draw(np.array([1]), count)
        assert drawn[0].tolist() == [generator.random() for _ in range(count)]


def test_streams_refuse_more_than_a_block() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        UniformStreams(1).draw(np.array([0]), BLOCK + 1)


def test_seeds() -> None:
    assert seeds_of(5, 3) == [5, 6, 7]
    assert seeds_of(None, 2) == [None, None]
    assert seeds_of([4, None], 2) == [4, None]
    with pytest.raises(ValueError, match="3 seeds for 2 environments"):
        seeds_of([1, 2, 3], 2)
