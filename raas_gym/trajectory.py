"""FILE CONTRACT: what the controller recorded, one row a control tick.

A row is: `tick`, `t` [s], the observation columns, the action columns as desired, the same after
limits (`applied…`), `applied_at` [s within the tick], `reward`, `late` (0/1), `episode`. Row k holds the
observation at the start of tick k, the action in force at its end, and the reward of that pair;
`applied_at` says when within the tick that action came into force (0 for one that was held over).
The environment's spec names the observation and action columns, so the format fits any hosted
environment; for the pendulum they are `theta` [rad, upright 0, within ±π] and `theta_dot` [rad/s].

`Header` carries the provenance. Only the controller writes a trajectory; user code never can.

Three forms, the same content:
- `.traj`, written while running: a magic line, one line of JSON (the header), then rows of little-endian
  float64. Each row reaches the operating system in one write before the next tick begins, so the data
  survive the death of the process; a torn last row is ignored when loading.
- `.npz`: one array a column, and the header as a JSON string under `header`.
- `.csv`: column names in the first line, one line a row; the header is not in it.

Version 1. A reader refuses a higher version; a new column at the end of a row is a new version.
"""

from __future__ import annotations

import csv
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raas_gym.version import __version__

MAGIC = b"raas-trajectory\n"
VERSION = 1
_MAX_HEADER = 1 << 20


class TrajectoryError(ValueError):
    """The file is not a trajectory this version can read; the message says why."""


class Tick(NamedTuple):
    """One control tick, as the host reports it (a named tuple: making one is part of every tick)."""

    tick: int
    t: float
    observation: tuple[float, ...]
    action: tuple[float, ...]
    applied: tuple[float, ...]
    applied_at: float
    reward: float
    late: bool
    episode: int


@dataclass(frozen=True)
class Header:
    """Where a trajectory comes from. `horizon` is the number of ticks over which the task is scored."""

    env_id: str
    dt: float
    horizon: int
    observation_columns: tuple[str, ...]
    action_columns: tuple[str, ...]
    robot: str = "simulation"
    simulated: bool = True
    passport: Mapping[str, Any] = field(default_factory=dict)
    commit: str = ""
    image: str = ""
    seed: int | None = None
    software: str = __version__
    started_at: str = ""
    version: int = VERSION

    @property
    def applied_columns(self) -> tuple[str, ...]:
        """The names of the applied action's values: "applied" or "applied_0", …"""
        return tuple(name.replace("action", "applied", 1) for name in self.action_columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's values, in order."""
        return (
            "tick",
            "t",
            *self.observation_columns,
            *self.action_columns,
            *self.applied_columns,
            "applied_at",
            "reward",
            "late",
            "episode",
        )

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Header:
        """Parse and check; raises TrajectoryError."""
        try:
            values = json.loads(text)
            _check_version(values["version"])
            known = {one.name for one in fields(cls)}
            values = {name: value for name, value in values.items() if name in known}
            for name in ("observation_columns", "action_columns"):
                values[name] = tuple(map(str, values[name]))
            header = cls(**values)
            sound = 0.0 < header.dt < 1e3 and 0 < header.horizon < 1e9 and isinstance(header.env_id, str)
        except TrajectoryError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise TrajectoryError(
                f"the trajectory's header is damaged ({error}); the file cannot be used"
            ) from error
        if not sound:
            raise TrajectoryError("the trajectory's header is damaged (impossible values); it cannot be used")
        return header


def _check_version(version: int) -> None:
    if version > VERSION:
        raise TrajectoryError(f"this trajectory has version {version}; update raas to read it")


@dataclass(frozen=True)
class Trajectory:
    """A header and its rows: `rows` is float64 (ticks, columns)."""

    header: Header
    rows: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        """One column, (ticks,). Raises KeyError with the known names."""
        try:
            return self.rows[:, self.header.columns.index(column)]
        except ValueError:
            raise KeyError(f"no column {column!r}; there are {', '.join(self.header.columns)}") from None

    def episode(self, number: int) -> Trajectory:
        """The rows of one episode; the job's score is that of episode 0."""
        return Trajectory(self.header, self.rows[self["episode"] == number])

    def save_npz(self, path: str | Path) -> None:
        """Write `.npz` (see the module)."""
        columns = {name: self[name] for name in self.header.columns}
        with Path(path).open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, header=np.array(self.header.to_json()), **columns)

    def save_csv(self, path: str | Path) -> None:
        """Write `.csv` (see the module); numbers keep their full precision."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.header.columns)
            whole = {self.header.columns.index(name) for name in ("tick", "late", "episode")}
            for row in self.rows.tolist():
                writer.writerow([int(value) if at in whole else repr(value) for at, value in enumerate(row)])


class TrajectoryWriter:
    """Appends rows to a `.traj` file as they happen. Use as a context manager, or call `close`."""

    def __init__(self, path: str | Path, header: Header) -> None:
        self.path = Path(path)
        self._row = struct.Struct(f"<{len(header.columns)}d")
        # Unbuffered: a row is safe from the death of this process once `append` returns.
        self._file = self.path.open("xb", buffering=0)
        self._file.write(MAGIC + header.to_json().encode() + b"\n")

    def append(self, tick: Tick) -> None:
        """Write one row."""
        number, t, observation, action, applied, applied_at, reward, late, episode = tick
        try:
            row = self._row.pack(
                number, t, *observation, *action, *applied, applied_at, reward, late, episode
            )
        except struct.error as error:
            raise ValueError(f"this tick does not fit the trajectory's columns ({error})") from error
        self._file.write(row)

    def close(self) -> None:
        """Flush to the disk and close; safe to call twice."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(path: str | Path) -> Trajectory:
    """Read a `.traj` or `.npz` file, complete or cut short. Raises TrajectoryError or OSError."""
    with Path(path).open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            file.seek(0)
            return _load_npz(file, path)
        header = Header.from_json(file.readline(_MAX_HEADER))
        data = file.read()
    width = len(header.columns)
    whole = len(data) // (8 * width)
    rows = np.frombuffer(data, dtype="<f8", count=whole * width).reshape(whole, width)
    return Trajectory(header, rows.astype(np.float64))


def _load_npz(file: BinaryIO, path: str | Path) -> Trajectory:
    try:
        with np.load(file, allow_pickle=False) as archive:
            header = Header.from_json(str(archive["header"]))
            rows = np.column_stack([archive[name] for name in header.columns])
    except TrajectoryError:
        raise
    except Exception as error:  # NumPy raises a dozen kinds for a damaged archive
        raise TrajectoryError(
            f"{path} is no trajectory ({error}); give a .traj or .npz that RaaS wrote"
        ) from error
    return Trajectory(header, rows.astype(np.float64))
