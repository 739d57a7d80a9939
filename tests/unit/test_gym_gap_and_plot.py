"""The sim-to-real gap and the plot of a recorded run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raas_gym import IDEAL, MEASURED, PendulumEnv, PendulumParams
from raas_gym.gap import prediction_gap
from raas_gym.plot import plot
from raas_gym.trajectory import Header, Trajectory

HEADER = Header("RaasPendulum-v1", 0.05, 400, ("theta", "theta_dot"), ("action",), commit="c" * 40)


def wave(tick: int) -> float:
    return 2.0 * math.sin(0.25 * tick)


def record(params: PendulumParams, torque: Callable[[int], float] = wave, ticks: int = 200) -> Trajectory:
    env = PendulumEnv(params)
    env.reset(seed=0)
    rows = []
    for tick in range(ticks):
        observed, asked = env.recorded_observation(), torque(tick)
        _, reward, _, _, info = env.step(np.array([asked], dtype=np.float32))
        late = float(tick % 50 == 3)
        rows.append((tick, tick * 0.05, *observed, asked, info["applied"], 0.0, reward, late, 0))
    return Trajectory(HEADER, np.array(rows))


def test_a_simulation_predicts_itself() -> None:
    gap = prediction_gap(record(IDEAL), IDEAL)
    assert gap.theta.shape == gap.theta_dot.shape == (196,)
    assert gap.theta_rms < 1e-6
    assert gap.theta_dot_rms < 1e-5


def test_only_the_encoder_hides_the_measured_state() -> None:
    """A right model is off by the encoder's counts; with an exact encoder it is nearly exact."""
    assert prediction_gap(record(MEASURED), MEASURED).theta_rms < 0.05
    exact = replace(MEASURED, encoder_count=0.0, velocity_window=0.0)
    assert prediction_gap(record(exact), exact).theta_rms < 0.002


@pytest.mark.parametrize(
    "change", [{"gravity": 25.0}, {"torque_gain": 6.0}, {"coulomb": 0.0}, {"delay": 0.05}]
)
def test_a_wrong_model_shows(change: dict[str, float]) -> None:
    exact = replace(MEASURED, encoder_count=0.0, velocity_window=0.0)
    trajectory = record(exact)
    wrong = replace(exact, **change)
    right, off = prediction_gap(trajectory, exact).theta_rms, prediction_gap(trajectory, wrong).theta_rms
    assert off > 3 * right


def test_a_delay_of_several_ticks_is_accounted_for() -> None:
    exact = replace(MEASURED, encoder_count=0.0, velocity_window=0.0, delay=0.12)
    assert prediction_gap(record(exact), exact).theta_rms < 0.002


def test_on_a_robot_late_actions_add_to_the_delay() -> None:
    """A robot that applies each action 20 ms into its tick is one with 20 ms more delay."""
    exact = replace(MEASURED, encoder_count=0.0, velocity_window=0.0)
    rows = record(replace(exact, delay=0.04)).rows
    rows[:, HEADER.columns.index("applied_at")] = 0.02
    robot = Trajectory(replace(HEADER, simulated=False), rows)
    assert prediction_gap(robot, exact).theta_rms < 0.002


def test_a_run_too_short_to_predict() -> None:
    gap = prediction_gap(record(MEASURED, ticks=3), MEASURED)
    assert len(gap.theta) == 0
    assert math.isnan(gap.theta_rms)


def test_parameters_of_another_period_are_refused() -> None:
    trajectory = record(MEASURED, ticks=10)
    for params, ahead in ((replace(MEASURED, dt=0.1), 0.2), (MEASURED, 0.01)):
        with pytest.raises(ValueError, match="prediction"):
            prediction_gap(trajectory, params, ahead)


def test_the_plot_shows_everything_recorded(tmp_path: Path) -> None:
    trajectory = record(MEASURED, lambda tick: 3.0 * math.sin(tick))
    figure = plot(trajectory)
    assert [axis.get_ylabel() for axis in figure.axes] == ["θ [rad]", "θ̇ [rad/s]", "action", "reward"]
    action = figure.axes[2]
    asked, applied, late = action.get_lines()
    assert np.abs(asked.get_ydata()).max() > 2.5
    assert np.abs(applied.get_ydata()).max() == 2.0
    assert len(late.get_xdata()) == 4
    figure.savefig(tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 5000


def test_the_plot_of_another_environment() -> None:
    header = Header("X-v0", 0.02, 10, ("observation_0", "observation_1"), ("action_0", "action_1"))
    figure = plot(Trajectory(header, np.zeros((5, len(header.columns)))))
    assert len(figure.axes) == 5
