"""Make the plots of physics.md: `python docs/plots.py [directory]` (default: docs/images)."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from raas_gym.dynamics import IDEAL, MEASURED, RAW_MOTOR, PendulumParams
from raas_gym.plants import SimPlant

Plot = Callable[[Any], None]


def simulate(
    params: PendulumParams, theta: float, torques: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True (θ, θ̇) and measured (θ, θ̇), each (ticks + 1, 2), released at rest from `theta`."""
    plant = SimPlant(params)
    measured = [plant.reset(0, {"theta": theta})]
    true = [plant.state[:2]]
    for torque in torques.tolist():
        plant.apply(torque)
        plant.advance()
        true.append(plant.state[:2])
        measured.append(plant.measure())
    return np.array(true), np.array(measured)


def free_swing(axes: Any) -> None:
    """Released near the top: viscous friction alone never stops, dry friction does."""
    t = np.arange(241) * 0.05
    for name, params in (("ideal", IDEAL), ("measured", MEASURED)):
        true, _ = simulate(params, 0.3, np.zeros(240))
        axes.plot(t, np.degrees(true[:, 0] - math.pi), label=name)
    axes.set(xlabel="time [s]", ylabel="angle from hanging [°]")
    axes.legend()


def torque_staircase(axes: Any) -> None:
    """Where the pendulum comes to rest under a torque that rises slowly and falls again."""
    levels = np.concatenate([np.linspace(0, 2, 41), np.linspace(2, 0, 41)])
    for name, params in (("measured", MEASURED), ("raw_motor", RAW_MOTOR), ("ideal", IDEAL)):
        true, _ = simulate(params, math.pi, np.repeat(levels, 60))
        axes.plot(levels, np.degrees(true[60::60, 0] - math.pi), label=name)
    axes.set(xlabel="action", ylabel="angle from hanging [°]")
    axes.legend()


def velocity_estimate(axes: Any) -> None:
    """The velocity as the robot computes it, from two encoder readings 30 ms apart."""
    t = np.arange(61) * 0.05
    true, measured = simulate(MEASURED, 2.2, np.zeros(60))
    axes.plot(t, true[:, 1], label="true")
    axes.step(t, measured[:, 1], where="mid", label="measured")
    axes.set(xlabel="time [s]", ylabel="angular velocity [rad/s]")
    axes.legend()


def delay(axes: Any) -> None:
    """One push of half a second, with delays of 0 to 50 ms."""
    t = np.arange(31) * 0.05
    torques = np.where(np.arange(30) < 10, 2.0, 0.0)
    for milliseconds in (0, 20, 50):
        true, _ = simulate(replace(MEASURED, delay=milliseconds / 1000), math.pi, torques)
        axes.plot(t, np.degrees(true[:, 0] - math.pi), label=f"{milliseconds} ms")
    axes.set(xlabel="time [s]", ylabel="angle from hanging [°]")
    axes.legend()


def divergence(axes: Any) -> None:
    """Two pendulums near the top, one encoder count apart: why long open-loop predictions mean nothing."""
    t = np.arange(41) * 0.05
    params = replace(MEASURED, coulomb=0.0, breakaway=0.0)
    one, other = (simulate(params, 0.001 + shift, np.zeros(40))[0] for shift in (0.0, MEASURED.encoder_count))
    axes.semilogy(t, np.abs(one[:, 0] - other[:, 0]), label="difference")
    rate = math.sqrt(params.gravity)
    early = t < 1.0
    axes.semilogy(
        t[early], MEASURED.encoder_count * np.cosh(rate * t[early]), "--", label=f"cosh({rate:.1f} t)"
    )
    axes.set(xlabel="time [s]", ylabel="difference [rad]")
    axes.legend()


PLOTS: dict[str, Plot] = {
    "physics-free-swing": free_swing,
    "physics-torque-staircase": torque_staircase,
    "physics-velocity-estimate": velocity_estimate,
    "physics-delay": delay,
    "physics-divergence": divergence,
}


def main(directory: Path) -> None:
    """Write every plot as SVG, the same bytes for the same numbers."""
    directory.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "raas", "svg.fonttype": "none", "font.size": 9})
    for name, plot in PLOTS.items():
        figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
        plot(axes)
        axes.grid(alpha=0.3)
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("images"))
