"""Scores: by hand for known runs, and no way to gain by ending early, idling or going on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raas_gym.dynamics import WORST_COST, cost
from raas_gym.scores import Scores, episode_return, first_held, pendulum_scores
from raas_gym.trajectory import Header, Trajectory

HORIZON = 40
HEADER = Header("RaasPendulum-v1", 0.05, HORIZON, ("theta", "theta_dot"), ("action",))
MORE_IS_BETTER = ("episode_return", "upright", "upright_time", "composite", "ticks")
LESS_IS_BETTER = ("swing_up_time", "energy", "torque_squared", "speed_squared", "smoothness")


def run(theta: np.ndarray, theta_dot: np.ndarray, applied: np.ndarray, episode: int = 0) -> Trajectory:
    ticks = np.arange(len(theta))
    reward = [-cost(*values) for values in zip(theta, theta_dot, applied, strict=True)]
    zero = np.zeros(len(theta))
    columns = [ticks, ticks * 0.05, theta, theta_dot, applied, applied, zero, reward, zero, zero + episode]
    return Trajectory(HEADER, np.column_stack(columns))


runs = st.integers(0, HORIZON + 20).flatmap(
    lambda n: st.tuples(
        hnp.arrays(float, n, elements=st.sampled_from([0.0, 0.1, -0.2, 0.21, 1.0, -3.1])),
        hnp.arrays(float, n, elements=st.floats(-20, 20)),
        hnp.arrays(float, n, elements=st.floats(-2, 2)),
    )
)


def test_by_hand() -> None:
    theta = np.concatenate([np.full(10, 3.0), np.full(30, 0.1)])
    scores = pendulum_scores(run(theta, np.full(40, 2.0), np.tile([1.0, -1.0], 20)))
    assert scores.ticks == 40
    assert scores.swing_up_time == pytest.approx(0.5)
    assert scores.upright == pytest.approx(0.75)
    assert scores.upright_time == pytest.approx(1.5)
    assert scores.energy == pytest.approx(40 * 2.0 * 0.05)
    assert scores.torque_squared == pytest.approx(2.0)
    assert scores.speed_squared == pytest.approx(8.0)
    assert scores.smoothness == pytest.approx(2.0)
    assert scores.episode_return == pytest.approx(-(10 * 9 + 30 * 0.01 + 40 * (0.4 + 0.001)))
    terms = [(0.5, 20), (4.0, 60), (2.0, 100), (2.0, 4), (8.0, 400)]
    assert scores.composite == pytest.approx(1 - sum(math.tanh(math.pi * c / n) for c, n in terms) / 5)


def test_a_touch_of_upright_is_no_swing_up() -> None:
    theta = np.full(40, 3.0)
    theta[5:24] = 0.0  # 19 ticks, not 20
    scores = pendulum_scores(run(theta, np.zeros(40), np.zeros(40)))
    assert scores.swing_up_time == 2.0
    assert scores.composite == 0.0
    assert scores.upright_time == pytest.approx(0.95)


def test_nothing_recorded_is_the_worst() -> None:
    scores = pendulum_scores(run(np.empty(0), np.empty(0), np.empty(0)))
    assert scores.episode_return == pytest.approx(-HORIZON * WORST_COST)
    assert (scores.ticks, scores.upright, scores.composite, scores.swing_up_time) == (0, 0.0, 0.0, 2.0)


def at_least_as_good(one: Scores, other: Scores) -> bool:
    return all(getattr(one, name) >= getattr(other, name) - 1e-9 for name in MORE_IS_BETTER) and all(
        getattr(one, name) <= getattr(other, name) + 1e-9 for name in LESS_IS_BETTER
    )


@given(runs, st.integers(0, HORIZON))
def test_ending_early_never_pays(values: tuple[np.ndarray, ...], kept: int) -> None:
    whole = pendulum_scores(run(*values))
    assert at_least_as_good(whole, pendulum_scores(run(*(one[:kept] for one in values))))


@given(runs)
def test_going_on_beyond_the_horizon_changes_nothing(values: tuple[np.ndarray, ...]) -> None:
    assert pendulum_scores(run(*values)) == pendulum_scores(run(*(one[:HORIZON] for one in values)))


@given(runs, runs)
def test_only_the_first_episode_counts(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> None:
    rows = np.concatenate([run(*first).rows, run(*second, episode=1).rows])
    assert pendulum_scores(Trajectory(HEADER, rows)) == pendulum_scores(run(*first))


@given(runs)
def test_the_return_of_any_environment_is_padded(values: tuple[np.ndarray, ...]) -> None:
    trajectory = run(*values)
    missing = max(0, HORIZON - len(trajectory))
    assert episode_return(trajectory, 0.0) == pytest.approx(trajectory["reward"][:HORIZON].sum())
    assert episode_return(trajectory, -7.0) == pytest.approx(episode_return(trajectory, 0.0) - 7.0 * missing)


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 6))
def test_first_held(flags: list[bool], length: int) -> None:
    expected = next((i for i in range(len(flags) - length + 1) if all(flags[i : i + length])), None)
    assert first_held(np.array(flags, dtype=bool), length) == expected
