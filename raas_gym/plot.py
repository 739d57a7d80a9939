"""Plots of a trajectory, with matplotlib (`pip install "raas-gym[plot]"`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raas_gym.scores import UPRIGHT_BAND
from raas_gym.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {"theta": "θ [rad]", "theta_dot": "θ̇ [rad/s]"}


def plot(trajectory: Trajectory) -> Figure:
    """Observation, action and reward over time, one below the other.

    The asked action is drawn beside the applied one, late ticks are marked, and for a pendulum the upright
    band is shaded. Works without a display; save the figure with `figure.savefig(path)`.
    Raises ImportError with the remedy where matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError('plots need matplotlib: run `pip install "raas-gym[plot]"`') from error
    header, t = trajectory.header, trajectory["t"]
    names = [*header.observation_columns, *header.action_columns, "reward"]
    figure = Figure(figsize=(9, 1.6 * len(names) + 0.8), layout="constrained")
    axes = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0]
    figure.suptitle(f"{header.env_id} on {header.robot} {header.commit[:10]}".rstrip())
    for name, axis in zip(names, axes, strict=True):
        axis.plot(t, trajectory[name], linewidth=1, drawstyle="steps-post" if name != "theta" else "default")
        axis.set_ylabel(LABELS.get(name, name))
        axis.grid(alpha=0.3)
    for name, applied in zip(header.action_columns, header.applied_columns, strict=True):
        axis = axes[names.index(name)]
        axis.plot(t, trajectory[applied], linewidth=1, drawstyle="steps-post")
        axis.legend(["asked", "applied"], loc="upper right", fontsize="small")
        late = trajectory["late"] > 0
        axis.plot(t[late], trajectory[applied][late], "x", color="tab:red", markersize=4)
    if "theta" in names:
        axes[names.index("theta")].axhspan(-UPRIGHT_BAND, UPRIGHT_BAND, color="tab:green", alpha=0.15)
    axes[-1].set_xlabel("t [s]")
    return figure
