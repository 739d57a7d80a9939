"""The plots of a passport: what the calibration saw, what its fit says of it, and what came out.

Drawn with matplotlib (extra `plot`), without a display. One figure of four:

    a swing     the angle as seen and as predicted, over segments that the fit had never seen
    errors      predicted minus seen at every edge, over time; the held-out segments in another colour
    histogram   the same, beside one count
    values      every parameter with its 95 % interval, and the uncalibrated value for comparison
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.identify import Fit, Trace
from hardware.passport import BOUNDS, Passport
from raas_gym.dynamics import TURN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USED, HELD_OUT = "tab:blue", "tab:orange"
UNITS = {
    "gravity": "1/s²",
    "torque_gain": "rad/s² per unit",
    "viscous": "1/s",
    "coulomb": "rad/s²",
    "no_load_speed": "rad/s",
    "dead_zone_duty": "of duty",
    "delay": "s",
}


def save_plots(passport: Passport, fit: Fit, path: Path) -> None:
    """Write the figure to `path`; its suffix says how (`.svg`, `.png`).

    Raises:
        ImportError: matplotlib is missing; the message has the remedy.
        OSError: The file cannot be written.
    """
    draw_plots(passport, fit).savefig(path)


def draw_plots(passport: Passport, fit: Fit) -> Figure:
    """The figure of `passport`, found by `fit`. Raises ImportError where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError("matplotlib is missing, pip install 'raas-gym[plot]' brings it") from error
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle(f"{passport.robot}, passport {passport.version}")
    axes = figure.subplots(2, 2)
    _swing(axes[0, 0], passport, fit)
    _errors(axes[0, 1], fit)
    _histogram(axes[1, 0], fit)
    _values(axes[1, 1], passport)
    return figure


def _swing(axis: Any, passport: Passport, fit: Fit) -> None:
    """The held-out segment with the most motion."""
    trace = max((t for t in fit.traces if t.held_out), key=lambda t: len(t.times), default=fit.traces[0])
    degrees = np.degrees(TURN) / passport.counts_per_turn
    t, zero = trace.times - trace.times[0], passport.zero_counts
    axis.plot(t, (trace.boundaries - zero) * degrees, ".", color=USED, markersize=4, label="seen")
    predicted = (trace.boundaries + trace.residuals - zero) * degrees
    axis.plot(t, predicted, color=HELD_OUT, linewidth=1.2, label="predicted")
    axis.set(title="unseen by the fit", xlabel="t [s]", ylabel="angle from hanging [°]")
    axis.legend(fontsize="small")


def _errors(axis: Any, fit: Fit) -> None:
    start = float(fit.traces[0].times[0])
    for trace in fit.traces:
        axis.plot(trace.times - start, trace.residuals, color=_colour(trace), linewidth=0.7)
    axis.axhline(0.0, color="black", linewidth=0.5)
    axis.set(title="predicted minus seen", xlabel="t [s]", ylabel="counts")


def _histogram(axis: Any, fit: Fit) -> None:
    bins = np.linspace(-3.0, 3.0, 61).tolist()
    for held_out, name, rms in ((False, "used", fit.rms), (True, "held out", fit.held_out_rms)):
        parts = [trace.residuals for trace in fit.traces if trace.held_out == held_out]
        if parts:
            values = np.clip(np.concatenate(parts), -3.0, 3.0)
            colour = HELD_OUT if held_out else USED
            axis.hist(values, bins, density=True, alpha=0.6, color=colour, label=f"{name}: {rms:.2f} RMS")
    axis.set(title="errors at the edges", xlabel="counts (±3 and beyond at the ends)", ylabel="density")
    axis.legend(fontsize="small")


def _values(axis: Any, passport: Passport) -> None:
    axis.set_axis_off()
    axis.set_title("value ± half of the 95 % interval (before any calibration)")
    nominal = Passport()
    for row, name in enumerate(BOUNDS):
        found = getattr(passport, name)
        y = 0.92 - 0.11 * row
        before = getattr(nominal, name).value
        axis.text(0.0, y, name)
        axis.text(0.34, y, f"{found.value:.3f} ± {found.half_width:.3f} {UNITS[name]}")
        axis.text(0.86, y, f"({before:g})")
    y = 0.92 - 0.11 * len(BOUNDS)
    axis.text(0.0, y, "zero")
    axis.text(0.34, y, f"{passport.zero.value:.2f} ± {passport.zero.half_width:.2f} counts")


def _colour(trace: Trace) -> str:
    return HELD_OUT if trace.held_out else USED
