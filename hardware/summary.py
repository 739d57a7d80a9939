"""What a session came to, computed from the controller's own recording and nothing else."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hardware.results import Results, key_of
from hardware.robot import Profile
from raas_gym import control
from raas_gym.dynamics import PendulumParams
from raas_gym.gap import prediction_gap
from raas_gym.scores import pendulum_scores
from raas_gym.trajectory import Trajectory, TrajectoryError, load

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class End:
    """How a session ended.

    Attributes:
        reason: One of `raas_gym.control.END_REASONS`.
        message: The same as a sentence for people.
        duration_s: From the first reset to the end [s]; None where nobody measured it.
        interventions: What the safety layer did, a sentence each.
    """

    reason: str
    message: str
    duration_s: float | None = None
    interventions: list[str] = field(default_factory=list)


def conclude(
    results: Results, profile: Profile, request: control.SessionRequest, end: End
) -> control.SessionSummary:
    """Make the artifacts and the summary of a session that ended, and write them durably.

    On a disk that takes no more the session still has its summary, and the recording as it is.
    """
    key = key_of(request)
    recording = results.recording(key)
    trajectory = _recorded(recording)
    try:
        files = _write_files(trajectory, results.directory(key))
    except OSError as error:
        log.warning("job %s: no artifacts, only %s: %s", key, recording, error.strerror)
        files = {"trajectory.traj": str(recording)}
    summary = summarize(trajectory, profile, request, end, files)
    try:
        results.conclude(summary)
    except OSError as error:
        log.warning("job %s: the summary could not be written: %s", key, error.strerror)
    return summary


def summarize(
    trajectory: Trajectory | None,
    profile: Profile,
    request: control.SessionRequest,
    end: End,
    files: dict[str, str],
) -> control.SessionSummary:
    """The summary of a recording; None stands for a session without a tick."""
    counts = Counts() if trajectory is None else count(trajectory)
    duration = end.duration_s
    if duration is None:
        duration = counts.ticks * trajectory.header.dt if trajectory is not None else 0.0
    return control.SessionSummary(
        job=request.job,
        attempt=request.attempt,
        number=request.number,
        reason=end.reason,
        message=end.message,
        steps=counts.steps,
        ticks=counts.ticks,
        episodes=counts.episodes,
        late=counts.late,
        duration_s=round(duration, 3),
        scores={} if trajectory is None else scores(trajectory),
        files=files,
        robot=profile.name,
        passport=profile.passport,
        interventions=end.interventions,
        server=request.server,
    )


def scores(trajectory: Trajectory) -> dict[str, float | None]:
    """The pendulum's scores, and `sim_gap`: how far its passport's simulation is off 0.2 s ahead [rad, RMS].

    The gap runs over the ticks that are scored; None where the passport does not describe this recording.
    """
    header = trajectory.header
    counted = Trajectory(header, trajectory.episode(0).rows[: header.horizon])
    try:
        params = PendulumParams.from_dict(header.passport["parameters"])
        gap = prediction_gap(counted, params).theta_rms
    except (KeyError, TypeError, ValueError):
        gap = math.nan
    return {**pendulum_scores(trajectory).as_dict(), "sim_gap": round(gap, 5) if math.isfinite(gap) else None}


@dataclass(frozen=True)
class Counts:
    """Numbers of a recording: rows, rows with an action, episodes, actions that came after their tick."""

    ticks: int = 0
    steps: int = 0
    episodes: int = 0
    late: int = 0


def count(trajectory: Trajectory) -> Counts:
    """The counts of a recording with at least one row."""
    missed, episode = trajectory["late"] > 0, trajectory["episode"]
    # An action is late where the tick before it, of the same episode, got none.
    late = missed[:-1] & ~missed[1:] & (episode[:-1] == episode[1:])
    return Counts(
        ticks=len(trajectory),
        steps=int((~missed).sum()),
        episodes=int(episode.max()) + 1,
        late=int(np.count_nonzero(late)),
    )


def _recorded(path: Path) -> Trajectory | None:
    try:
        trajectory = load(path)
    except (FileNotFoundError, TrajectoryError):  # no tick came, or the header was not yet whole
        return None
    return trajectory if len(trajectory) else None


def _write_files(trajectory: Trajectory | None, directory: Path) -> dict[str, str]:
    if trajectory is None:
        return {}
    paths = [directory / "trajectory.npz", directory / "trajectory.csv"]
    trajectory.save_npz(paths[0])
    trajectory.save_csv(paths[1])
    for path in paths:
        path.chmod(0o640)
        _sync(path)
    return {path.name: str(path) for path in paths}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
