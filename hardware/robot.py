"""The robot as the controller sees it: what it is, how it comes to rest, what hosts a session on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hardware.errors import UnhealthyError
from raas_gym.dynamics import MEASURED, PendulumParams
from raas_gym.env import PendulumEnv
from raas_gym.plants import SimPlant

PENDULUM_ENV_IDS = ("RaasPendulum-v1", "RaasPendulum-v0")
"""The modern and the classic id drive the same robot; the classic client adapts on its side."""


@dataclass(frozen=True)
class Profile:
    """What `status` tells of a robot.

    Attributes:
        name: The robot's name.
        kind: Which kind of robot; the first of its labels.
        plant: `simulated` or `hardware`.
        env_ids: The environments it hosts.
        passport: Version of the calibration in force, or `simulated`.
        warnings: What a host should mend, a sentence each.
        pins: What drives its pins; empty where it has none.
    """

    name: str
    kind: str
    plant: str
    env_ids: Sequence[str]
    passport: str
    warnings: Sequence[str] = ()
    pins: str = ""


class Robot(Protocol):
    """One physical environment, or a simulated one. `stop` and `fault` may come from any thread."""

    @property
    def profile(self) -> Profile:
        """What it is."""

    def rest(self) -> None:
        """Bring it to rest; `stop` ends the attempt early.

        Raises:
            UnhealthyError: It does not come to rest; from then on `fault` says why.
        """

    def make_env(self, env_id: str) -> PendulumEnv:
        """The environment to host for one session. The robot stays ours: nobody closes it."""

    def maintain(self, task: str, say: Callable[[str], None], options: Mapping[str, float]) -> None:
        """Perform `selftest`, `calibrate` or `jog` (options `torque`, `seconds`); `say` gets the progress.

        Raises:
            HardwareError: It failed; the message says what to look at.
        """

    def announce(self, text: str) -> None:
        """Show whose code is driving, where there is a display; nothing clears it."""

    def interventions(self) -> list[str]:
        """What the safety layer did since the last call, a sentence each."""

    def stop(self) -> None:
        """Motor off, now."""

    def fault(self) -> str | None:
        """Why it is not fit to run, or None."""

    def close(self) -> None:
        """Motor off; release what is held."""


class SimulatedRobot:
    """The pendulum with the measured dynamics behind it instead of a motor.

    Args:
        name: The robot's name.
        dt: The control period [s].
        env_ids: The environments to host.
    """

    def __init__(self, name: str, dt: float, env_ids: Sequence[str]) -> None:
        self._plant = SimPlant(with_period(dt))
        self.profile = Profile(name, "pendulum", "simulated", env_ids, "simulated")

    def rest(self) -> None:
        """A simulation is at rest at once."""
        self._plant.reset(None, {})

    def make_env(self, env_id: str) -> PendulumEnv:
        """The pendulum over the simulated plant."""
        return PendulumEnv(plant=self._plant)

    def maintain(self, task: str, say: Callable[[str], None], options: Mapping[str, float]) -> None:
        """A simulation needs no maintenance."""
        raise UnhealthyError(f"a simulated plant has no {task}: try --plant hardware --pins simulated")

    def announce(self, text: str) -> None:
        """A simulation has no display."""

    def interventions(self) -> list[str]:
        """None: nothing can break."""
        return []

    def stop(self) -> None:
        """Zero torque."""
        self._plant.stop()

    def fault(self) -> None:
        """A simulation is always fit."""

    def close(self) -> None:
        """Zero torque."""
        self._plant.close()


def with_period(dt: float) -> PendulumParams:
    """The measured pendulum at control period `dt` [s], integrated in steps of at most 10 ms."""
    window = min(MEASURED.velocity_window, dt)
    return replace(MEASURED, dt=dt, velocity_window=window, substeps=max(1, round(dt / 0.01)))
