"""What a replay is made of: rows thinned out honestly, the ghost, the animation."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from github_app.animation import BYTES_MAX, gif
from github_app.plots import svg
from github_app.replay_data import ROWS_MAX, replay
from raas_gym import MEASURED, PendulumEnv
from raas_gym.gap import ghost
from raas_gym.trajectory import Header, Trajectory, TrajectoryError

HEADER = Header(
    "RaasPendulum-v1",
    0.05,
    400,
    ("theta", "theta_dot"),
    ("action",),
    robot="goose",
    passport={"version": "2026-11-20", "parameters": MEASURED.as_dict()},
)


def recorded(ticks: int = 120, *, episodes: int = 1, heavier: float = 1.0) -> Trajectory:
    """A swinging pendulum, a little off its passport where `heavier` is not 1."""
    env = PendulumEnv(replace(MEASURED, gravity=MEASURED.gravity * heavier))
    rows = []
    for episode in range(episodes):
        env.reset(seed=episode)
        for tick in range(ticks):
            observed, torque = env.recorded_observation(), 2.0 * math.sin(0.2 * tick)
            _, reward, _, _, info = env.step(np.array([torque], dtype=np.float32))
            at = episode * ticks + tick
            rows.append((at, at * 0.05, *observed, torque, info["applied"], 0.0, reward, at == 7, episode))
    return Trajectory(HEADER, np.array(rows, dtype=np.float64))


def test_a_short_recording_is_sent_whole() -> None:
    trajectory = recorded()
    made = replay(trajectory, 0, 1)
    assert (made.ticks, made.every, made.passport, made.robot) == (120, 1, "2026-11-20", "goose")
    assert {len(column) for column in made.columns.values()} == {120}
    assert made.columns["theta"] == pytest.approx(trajectory["theta"], abs=1e-5)
    assert made.columns["return"][-1] == pytest.approx(trajectory["reward"].sum(), abs=1e-4)
    assert [at for at, late in enumerate(made.columns["late"]) if late] == [7]


def test_the_return_begins_anew_with_each_episode() -> None:
    trajectory = recorded(30, episodes=2)
    total = replay(trajectory, 0, 1).columns["return"]
    assert total[30] == pytest.approx(trajectory["reward"][30], abs=1e-4)
    assert total[59] == pytest.approx(trajectory["reward"][30:].sum(), abs=1e-4)


def test_a_long_recording_is_thinned_out_and_no_late_tick_is_lost() -> None:
    rows = np.tile(recorded().rows, (100, 1))
    rows[:, HEADER.columns.index("t")] = np.arange(len(rows)) * 0.05
    rows[:, HEADER.columns.index("late")] = 0
    rows[5001, HEADER.columns.index("late")] = 1
    made = replay(Trajectory(HEADER, rows), 0, 1)
    assert made.every == 3
    assert {len(column) for column in made.columns.values()} == {ROWS_MAX}
    assert made.columns["t"][1] == pytest.approx(0.15)
    assert sum(late or 0 for late in made.columns["late"]) == 1
    assert made.ghost is not None
    assert len(made.ghost.theta) == ROWS_MAX


def test_what_is_no_number_becomes_null() -> None:
    trajectory = recorded()
    trajectory.rows[3, HEADER.columns.index("reward")] = math.nan
    made = replay(trajectory, 0, 1)
    assert made.columns["reward"][3] is None
    assert "NaN" not in made.model_dump_json()


def test_the_ghost_starts_from_the_measurement_every_half_second_and_drifts_between() -> None:
    trajectory = recorded(heavier=1.1)
    theta = ghost(trajectory, MEASURED)
    off = np.abs((theta - trajectory["theta"] + math.pi) % (2 * math.pi) - math.pi)
    assert off[::10] == pytest.approx(0.0, abs=1e-9)
    assert off.max() > 0.05


def test_a_right_passport_has_a_smaller_gap_than_a_wrong_one() -> None:
    right, wrong = replay(recorded(), 0, 1).ghost, replay(recorded(heavier=1.2), 0, 1).ghost
    assert right is not None
    assert wrong is not None
    assert right.rms is not None
    assert wrong.rms is not None
    assert right.rms < wrong.rms
    assert right.error[:4] == [None] * 4, "nothing is predicted for the first 0.2 s"
    assert None not in right.error[4:]


def test_only_the_first_episode_has_a_ghost() -> None:
    made = replay(recorded(30, episodes=2), 0, 1)
    assert made.ghost is not None
    assert None not in made.ghost.theta[:30]
    assert made.ghost.theta[30:] == [None] * 30


@pytest.mark.parametrize(
    "passport",
    [{}, {"parameters": None}, {"parameters": {"gravity": "heavy"}}, {"parameters": {"dt": 0.01}}],
)
def test_without_a_fitting_passport_there_is_no_ghost(passport: dict[str, object]) -> None:
    trajectory = recorded(20)
    made = replay(Trajectory(replace(HEADER, passport=passport), trajectory.rows), 0, 1)
    assert made.ghost is None


def test_another_robot_has_its_columns_and_no_ghost() -> None:
    header = replace(HEADER, observation_columns=("x", "y"))
    made = replay(Trajectory(header, recorded(20).rows), 0, 1)
    assert made.ghost is None
    assert {"x", "y", "applied"} <= set(made.columns)


def test_the_animation_is_bounded_and_moves() -> None:
    rows = np.tile(recorded(400, heavier=1.1).rows, (3, 1))
    drawn = gif(Trajectory(HEADER, rows))
    picture = Image.open(io.BytesIO(drawn))
    assert picture.format == "GIF"
    assert len(drawn) < BYTES_MAX
    assert 100 < picture.n_frames <= 260
    first = picture.convert("RGB").tobytes()
    picture.seek(picture.n_frames // 2)
    assert picture.convert("RGB").tobytes() != first


def test_what_is_no_pendulum_is_not_drawn() -> None:
    header = replace(HEADER, observation_columns=("x", "y"))
    with pytest.raises(TrajectoryError, match="only a pendulum"):
        gif(Trajectory(header, recorded(20).rows))


def test_hostile_values_still_make_an_animation() -> None:
    trajectory = recorded(20)
    trajectory.rows[3:, 2:6] = math.inf
    trajectory.rows[9:, 2:6] = -1e300
    assert gif(Trajectory(replace(HEADER, robot="ü\n" * 50), trajectory.rows)).startswith(b"GIF8")


def test_the_plot_has_a_dark_sister() -> None:
    light, dark = svg(recorded(20)), svg(recorded(20), dark=True)
    assert "#ffffff" in light
    assert "#ffffff" not in dark
