"""The file contract: whatever is written comes back, also after a torn end."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raas_gym.trajectory import (
    MAGIC,
    Header,
    Tick,
    Trajectory,
    TrajectoryError,
    TrajectoryWriter,
    load,
)

HEADER = Header(
    env_id="RaasPendulum-v1",
    dt=0.05,
    horizon=400,
    observation_columns=("theta", "theta_dot"),
    action_columns=("action",),
    robot="goose",
    simulated=False,
    passport={"date": "2026-11-20", "parameters": {"gravity": 28.6}},
    commit="a" * 40,
    seed=7,
)


def tick(number: int, episode: int = 0) -> Tick:
    return Tick(
        number, number * 0.05, (0.1 * number, -1.0), (2.5,), (2.0,), 0.003, -0.5, number % 2 == 1, episode
    )


def written(path: Path, count: int) -> Path:
    with TrajectoryWriter(path, HEADER) as writer:
        for number in range(count):
            writer.append(tick(number))
    return path


def test_rows_and_header_come_back(tmp_path: Path) -> None:
    trajectory = load(written(tmp_path / "run.traj", 5))
    assert trajectory.header == HEADER
    assert trajectory.header.columns == (
        *("tick", "t", "theta", "theta_dot", "action", "applied", "applied_at", "reward", "late", "episode"),
    )
    assert len(trajectory) == 5
    assert trajectory["theta"].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert trajectory["applied"].tolist() == [2.0] * 5
    assert trajectory["late"].tolist() == [0, 1, 0, 1, 0]
    with pytest.raises(KeyError, match="theta_dot"):
        trajectory["speed"]


@given(st.lists(st.tuples(*[st.floats(allow_nan=False)] * 10), min_size=1, max_size=20))
def test_npz_and_csv_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("forms")
    values = np.array(rows)
    values[:, [0, 8, 9]] = np.arange(len(rows) * 3).reshape(-1, 3)  # whole numbers, as they are
    trajectory = Trajectory(HEADER, values)
    trajectory.save_npz(folder / "run.npz")
    again = load(folder / "run.npz")
    assert again.header == HEADER
    assert np.array_equal(again.rows, values)
    trajectory.save_csv(folder / "run.csv")
    with (folder / "run.csv").open() as file:
        names, *lines = csv.reader(file)
    assert tuple(names) == HEADER.columns
    assert np.array_equal(np.array(lines, dtype=float), values)


@given(st.integers(0, 10 * 8 * 4))
def test_a_torn_end_costs_at_most_one_row(tmp_path_factory: pytest.TempPathFactory, lost: int) -> None:
    path = written(tmp_path_factory.mktemp("torn") / "run.traj", 4)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - lost])
    assert len(load(path)) == 4 - -(-lost // 80)


def test_episodes_are_apart(tmp_path: Path) -> None:
    with TrajectoryWriter(tmp_path / "run.traj", HEADER) as writer:
        for number in range(6):
            writer.append(tick(number, episode=number // 4))
    trajectory = load(tmp_path / "run.traj")
    assert len(trajectory.episode(0)) == 4
    assert trajectory.episode(1)["tick"].tolist() == [4, 5]


def test_environments_of_other_shapes_name_their_columns() -> None:
    header = Header("X-v0", 0.02, 500, ("observation_0", "observation_1"), ("action_0", "action_1"))
    assert header.columns[4:8] == ("action_0", "action_1", "applied_0", "applied_1")


def test_a_row_of_the_wrong_width_is_refused(tmp_path: Path) -> None:
    with (
        TrajectoryWriter(tmp_path / "run.traj", HEADER) as writer,
        pytest.raises(ValueError, match="columns"),
    ):
        writer.append(Tick(0, 0.0, (1.0,), (0.0,), (0.0,), 0.0, 0.0, False, 0))


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path / "run.traj", 2)
    with pytest.raises(FileExistsError):
        TrajectoryWriter(path, HEADER)
    assert len(load(path)) == 2


def damaged_header() -> bytes:
    return MAGIC + b'{"version": 1, "env_id": 3\n'


def impossible_header() -> bytes:
    return MAGIC + json.dumps({**json.loads(HEADER.to_json()), "dt": 0.0}).encode() + b"\n"


def newer_header() -> bytes:
    return MAGIC + json.dumps({**json.loads(HEADER.to_json()), "version": 2}).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no trajectory"),
        (b"hello", "no trajectory"),
        (b"PK\x03\x04 not really", "no trajectory"),
        (damaged_header(), "damaged"),
        (MAGIC + b"[]\n", "damaged"),
        (impossible_header(), "impossible"),
        (newer_header(), "update raas"),
    ],
)
def test_what_is_no_trajectory_says_so(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(TrajectoryError, match=word):
        load(tmp_path / "x.npz")


def test_an_archive_of_pickles_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.savez(file, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(TrajectoryError):
        load(tmp_path / "x.npz")


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_gym_trajectory import HEADER, TrajectoryWriter, tick
writer = TrajectoryWriter(sys.argv[1], HEADER)
for number in range(10**9):
    writer.append(tick(number))
    if number == 200:
        print("written", flush=True)
"""


def test_every_row_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "run.traj"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
    trajectory = load(path)
    assert len(trajectory) > 200
    assert trajectory["tick"].tolist() == list(range(len(trajectory)))
