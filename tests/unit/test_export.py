"""Every export is read back by the format's own library."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from raas_gym.env import HORIZON
from raas_gym.export import FORMATS, ExportError, export
from raas_gym.trajectory import Header, Tick, Trajectory, TrajectoryWriter, load

Record = Callable[..., Path]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Writes a trajectory of the simulated pendulum, episodes one after the other."""

    def write(*lengths: int, **header: object) -> Path:
        path = tmp_path / f"run-{len(list(tmp_path.iterdir()))}.traj"
        values = {"env_id": "RaasPendulum-v1", "dt": 0.05, "horizon": HORIZON, "seed": 3, **header}
        columns = {"observation_columns": ("theta", "theta_dot"), "action_columns": ("action",)}
        env = gymnasium.make("RaasPendulum-v1").unwrapped
        rng = np.random.default_rng(0)
        with TrajectoryWriter(path, Header(**{**columns, **values})) as writer:  # type: ignore[arg-type]
            number = 0
            for episode, length in enumerate(lengths):
                env.reset(seed=3 + episode)
                for _ in range(length):
                    before, action = env.recorded_observation(), float(rng.uniform(-3, 3))  # type: ignore[attr-defined]
                    _, reward, _, _, info = env.step(np.array([action], np.float32))
                    applied = (info["applied"],)
                    writer.append(
                        Tick(
                            number,
                            number * 0.05,
                            before,
                            (action,),
                            applied,
                            0.0,
                            float(reward),
                            number % 7 == 0,
                            episode,
                        )
                    )
                    number += 1
        return path

    return write


def test_csv(record: Record) -> None:
    path = record(20)
    with export(path, "csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    trajectory = load(path)
    assert list(rows[0]) == list(trajectory.header.columns)
    for name in trajectory.header.columns:
        assert [float(row[name]) for row in rows] == trajectory[name].tolist()


def test_parquet(record: Record) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = record(30, robot="goose")
    table = parquet.read_table(export(path, "parquet"))
    trajectory = load(path)
    assert Header.from_json(table.schema.metadata[b"raas"]) == trajectory.header
    assert [str(table.schema.field(name).type) for name in ("tick", "theta", "late")] == [
        "int64",
        "double",
        "bool",
    ]
    for name in trajectory.header.columns:
        np.testing.assert_array_equal(table[name].to_numpy().astype(float), trajectory[name])


def test_mcap(record: Record) -> None:
    reader = pytest.importorskip("mcap.reader")
    path = record(25, started_at="2026-11-20T12:00:00+00:00")
    trajectory = load(path)
    with export(path, "mcap").open("rb") as file:
        source = reader.make_reader(file, validate_crcs=True)
        messages = list(source.iter_messages())
        metadata = {one.name: one.metadata for one in source.iter_metadata()}
    begin = 1_795_176_000_000_000_000
    assert [message.log_time for _, _, message in messages] == [begin + 50_000_000 * k for k in range(25)]
    ticks = [json.loads(message.data) for _, _, message in messages]
    schema = json.loads(messages[0][0].data)
    assert set(schema["properties"]) == set(trajectory.header.columns)
    for name in trajectory.header.columns:
        assert [tick[name] for tick in ticks] == trajectory[name].tolist()
    assert metadata["raas"]["env_id"] == "RaasPendulum-v1"
    assert messages[0][1].topic == "/trajectory"


def test_minari(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")
    path = record(40, 30)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    export(path, "minari", tmp_path / "sets" / "pendulum-v0")
    dataset = minari.load_dataset("pendulum-v0")
    trajectory = load(path)
    assert (dataset.total_episodes, dataset.total_steps) == (2, 39 + 29)
    env = dataset.recover_environment()
    assert env.spec.id == "RaasPendulum-v1"
    assert dataset.observation_space == env.observation_space
    assert dataset.action_space == env.action_space
    for number, episode in enumerate(dataset.iterate_episodes()):
        rows: Trajectory = trajectory.episode(number)
        theta, theta_dot = rows["theta"], rows["theta_dot"]
        wanted = np.column_stack([np.cos(theta), np.sin(theta), theta_dot]).astype(np.float32)
        np.testing.assert_array_equal(episode.observations, wanted)
        np.testing.assert_array_equal(episode.actions[:, 0], rows["action"][:-1].astype(np.float32))
        np.testing.assert_array_equal(episode.rewards, rows["reward"][:-1])
        np.testing.assert_array_equal(episode.infos["applied"], rows["applied"])
        assert episode.truncations.tolist() == [False] * (len(rows) - 2) + [True]
        assert not episode.terminations.any()


def test_minari_of_another_environment(record: Record, tmp_path: Path) -> None:
    minari = pytest.importorskip("minari")
    path = record(10, env_id="Unheard-v0", observation_columns=("x", "y"))
    dataset = minari.MinariDataset(export(path, "minari", tmp_path / "other-v0") / "data")
    assert dataset.observation_space.shape == (2,)
    np.testing.assert_array_equal(dataset[0].observations[:, 0], load(path)["x"])


def test_default_output_is_beside_the_trajectory(record: Record) -> None:
    path = record(5)
    assert export(path, "csv") == path.with_suffix(".csv")


@pytest.mark.parametrize("format", [*FORMATS])
def test_nothing_is_overwritten(record: Record, tmp_path: Path, format: str) -> None:  # noqa: A002
    target = tmp_path / "precious-v0"
    target.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        export(record(5), format, target)
    assert target.read_text() == "mine"


def test_refusals(record: Record, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="choose from csv, parquet, mcap, minari"):
        export(record(5), "hdf5")
    with pytest.raises(ExportError, match="no tick"):
        export(record(), "csv")
    with pytest.raises(ExportError, match="is no Minari id"):
        export(record(5), "minari", tmp_path / "a b")
    with pytest.raises(ExportError, match="no transition"):
        export(record(1), "minari", tmp_path / "short-v0")
    with pytest.raises(ExportError, match="is no date"):
        export(record(5, started_at="yesterday"), "mcap")
    with pytest.raises(OSError, match="nothing"):
        export(tmp_path / "nothing.traj", "csv")
