"""A trajectory in the formats of other tools: CSV, Parquet, MCAP and Minari.

    export("trajectory.npz", "parquet")            # writes trajectory.parquet beside it
    export("trajectory.npz", "minari", "data/raas-pendulum-v0")

- `csv`      column names, then one line a tick (as `Trajectory.save_csv`)
- `parquet`  one column each; the header is JSON in the schema's metadata under `raas`
- `mcap`     one JSON message a tick on topic `/trajectory`, its time stamps from the header's `started_at`
             (the epoch where that is empty); the header is the metadata record `raas`
- `minari`   a data set in a directory of its own; its name becomes the data set's id

Needs `pip install "raas-gym[export]"`, except for CSV.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from raas_gym.env import PendulumEnv
from raas_gym.trajectory import Header, Trajectory, load

WHOLE = frozenset({"tick", "episode"})
TRUTH = frozenset({"late"})
TOPIC = "/trajectory"
PENDULUM = ("theta", "theta_dot")


class ExportError(ValueError):
    """The trajectory cannot be exported this way; the message says why and what to do."""


def export(path: str | Path, format: str, out: str | Path | None = None) -> Path:  # noqa: A002 - the option's name
    """Write the trajectory at `path` (.traj or .npz) in another format and return where it is.

    `out` defaults to `path` with the format's ending. Nothing is overwritten. Raises ExportError,
    TrajectoryError for a damaged trajectory, or OSError.
    """
    if format not in FORMATS:
        raise ExportError(f"there is no format {format!r}; choose from {', '.join(FORMATS)}")
    target = Path(path).with_suffix(f".{format}") if out is None else Path(out)
    if target.exists():
        raise ExportError(f"{target} exists already; name another output or remove it")
    trajectory = load(path)
    if not len(trajectory):
        raise ExportError(f"{path} holds no tick; there is nothing to export")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        FORMATS[format](trajectory, target)
    except ImportError as error:
        raise ExportError(
            f"{format} needs a library ({error.name}); pip install 'raas-gym[export]'"
        ) from error
    return target


def _csv(trajectory: Trajectory, target: Path) -> None:
    trajectory.save_csv(target)


def _parquet(trajectory: Trajectory, target: Path) -> None:
    import pyarrow  # noqa: PLC0415 - an optional dependency
    import pyarrow.parquet  # noqa: PLC0415

    columns = {name: _typed(name, trajectory[name]) for name in trajectory.header.columns}
    table = pyarrow.table(columns).replace_schema_metadata({"raas": trajectory.header.to_json()})
    pyarrow.parquet.write_table(table, target)


def _typed(name: str, values: NDArray[np.float64]) -> NDArray[Any]:
    if name in WHOLE:
        return values.astype(np.int64)
    return values.astype(np.bool_) if name in TRUTH else values


def _mcap(trajectory: Trajectory, target: Path) -> None:
    from mcap.writer import Writer  # noqa: PLC0415 - an optional dependency

    header = trajectory.header
    begin = _nanoseconds(header.started_at)
    times = (begin + np.rint(trajectory["tick"] * header.dt * 1e9).astype(np.int64)).tolist()
    columns = [_typed(name, trajectory[name]).tolist() for name in header.columns]
    with target.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library=f"raas {header.software}")
        schema = writer.register_schema("raas.Tick", "jsonschema", json.dumps(_schema(header)).encode())
        channel = writer.register_channel(
            TOPIC, "json", schema, {"env_id": header.env_id, "robot": header.robot}
        )
        writer.add_metadata("raas", {name: _text(value) for name, value in asdict(header).items()})
        for number, (time, *row) in enumerate(zip(times, *columns, strict=True)):
            data = json.dumps(dict(zip(header.columns, row, strict=True))).encode()
            writer.add_message(channel, time, data, publish_time=time, sequence=number)
        writer.finish()  # type: ignore[no-untyped-call]


def _schema(header: Header) -> dict[str, Any]:
    """JSON Schema of one tick, which tells viewers what can be plotted."""
    kinds = {**dict.fromkeys(WHOLE, "integer"), **dict.fromkeys(TRUTH, "boolean")}
    properties = {name: {"type": kinds.get(name, "number")} for name in header.columns}
    return {"type": "object", "properties": properties, "required": list(header.columns)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _nanoseconds(started_at: str) -> int:
    if not started_at:
        return 0
    try:
        return round(datetime.fromisoformat(started_at.replace("Z", "+00:00")).timestamp() * 1e9)
    except ValueError as error:
        raise ExportError(
            f"the header's started_at ({started_at!r}) is no date; repair the trajectory"
        ) from error


def _minari(trajectory: Trajectory, target: Path) -> None:
    """The pendulum's observations are those of its environment (cos θ, sin θ, θ̇), so that a policy learned
    from the data fits it; other environments keep their recorded columns.
    """
    from minari import __version__  # noqa: PLC0415 - an optional dependency
    from minari.data_collector import EpisodeBuffer  # noqa: PLC0415
    from minari.dataset.minari_dataset import parse_dataset_id  # noqa: PLC0415
    from minari.dataset.minari_storage import MinariStorage  # noqa: PLC0415

    try:
        parse_dataset_id(target.name)
    except ValueError as error:
        raise ExportError(
            f"{target.name!r} is no Minari id; name the directory like raas-pendulum-v0"
        ) from error
    header = trajectory.header
    spaces = _pendulum_spaces() if header.observation_columns == PENDULUM else _plain_spaces(header)
    episodes = [trajectory.episode(int(number)) for number in np.unique(trajectory["episode"])]
    # One tick alone is no transition.
    episodes = [episode for episode in episodes if len(episode) > 1]
    if not episodes:
        raise ExportError("no episode has two ticks, so there is no transition to export; choose csv")
    data = target / "data"
    data.mkdir(parents=True)
    with warnings.catch_warnings():
        # Minari asks for an author's e-mail address and the like; the header says what is known.
        warnings.simplefilter("ignore")
        storage = MinariStorage.new(data, *spaces, _registered(header.env_id), data_format="arrow")
        storage.update_metadata(
            {"dataset_id": target.name, "minari_version": __version__, "raas": header.to_json()}
        )
        storage.update_episodes(
            EpisodeBuffer(id=number, seed=header.seed if number == 0 else None, **_transitions(episode))
            for number, episode in enumerate(episodes)
        )


def _transitions(episode: Trajectory) -> dict[str, Any]:
    """N rows are N observations and the N - 1 steps between them; the recording's end is a truncation."""
    header, steps = episode.header, len(episode) - 1
    observations = _matrix(episode, header.observation_columns)
    if header.observation_columns == PENDULUM:
        theta, theta_dot = observations.T
        observations = np.column_stack([np.cos(theta), np.sin(theta), theta_dot]).astype(np.float32)
    actions = _matrix(episode, header.action_columns)[:steps]
    names = ("t", *header.applied_columns, "applied_at")
    infos: dict[str, list[Any]] = {name: episode[name].tolist() for name in names}
    infos["late"] = (episode["late"] != 0).tolist()
    return {
        "observations": observations,
        "actions": actions.astype(np.float32) if header.observation_columns == PENDULUM else actions,
        "rewards": episode["reward"][:steps],
        "terminations": np.zeros(steps, np.bool_),
        "truncations": np.arange(steps) == steps - 1,
        "infos": infos,
    }


def _matrix(trajectory: Trajectory, columns: tuple[str, ...]) -> NDArray[np.float64]:
    return np.column_stack([trajectory[name] for name in columns])


def _pendulum_spaces() -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    env = PendulumEnv()
    return env.observation_space, env.action_space


def _plain_spaces(header: Header) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    widths = len(header.observation_columns), len(header.action_columns)
    observation, action = (gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float64) for width in widths)
    return observation, action


def _registered(env_id: str) -> gymnasium.envs.registration.EnvSpec | None:
    try:
        return gymnasium.spec(env_id)
    except gymnasium.error.Error:
        return None


Writer = Callable[[Trajectory, Path], None]
FORMATS: Mapping[str, Writer] = {"csv": _csv, "parquet": _parquet, "mcap": _mcap, "minari": _minari}
"""The formats by name."""
