"""The real pendulum as a `Robot`: its plant, its passport, its maintenance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hardware import calibration, realtime
from hardware.display import Display
from hardware.errors import HardwareError, UnhealthyError
from hardware.identify import Fit
from hardware.passport import UNCALIBRATED, Passport, load_passport, save_passport
from hardware.passport_plot import save_plots
from hardware.plant import HardwarePlant, Parts
from hardware.robot import Profile
from hardware.safety import Limits
from raas_gym.env import PendulumEnv
from raas_gym.plants import PlantError

log = logging.getLogger(__name__)


class Pendulum:
    """The robot behind pins, real or simulated.

    Args:
        name: The robot's name.
        parts: Pins, wires, clock, guardian.
        passports: Where its passports are kept.
        dt: The control period [s].
        env_ids: The environments to host.
        simulated: Whether the pins are a rig's.
        display: The LED matrix, where there is one.
        warnings: What a host should mend.

    Raises:
        StartupError: The pins or the passport cannot be used.
    """

    def __init__(
        self,
        name: str,
        parts: Parts,
        passports: Path,
        *,
        dt: float,
        env_ids: Sequence[str],
        simulated: bool,
        display: Display | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        self._passports = passports
        self._dt = dt
        self._display = display
        passport = load_passport(passports / "current.json")
        self._warnings = list(warnings)
        self._simulated = simulated
        self._profile = Profile(
            name, "pendulum", "hardware", env_ids, passport.version, pins=parts.pins.backend
        )
        self._plant = HardwarePlant(
            parts, passport, passport.params(dt), limits=Limits(), simulated=simulated
        )
        self._passport = passport
        self._homed = False

    @property
    def profile(self) -> Profile:
        """What it is, with the passport in force now."""
        warnings = list(self._warnings)
        if self._passport.version == UNCALIBRATED:
            warnings.append("it was never calibrated: run `raas-controller calibrate`")
        if not self._simulated:
            warnings += realtime.missing()
        return replace(self._profile, passport=self._passport.version, warnings=warnings)

    def rest(self) -> None:
        """Brake it until it hangs still; the first time, find where it hangs."""
        try:
            if not self._homed:
                calibration.home(self._plant, self._passport)
                self._homed = True
                log.info("homed: it hangs at count %.2f", self._plant.zero)
            self._plant.arm()
            self._plant.rest()
        except (PlantError, HardwareError) as error:
            raise UnhealthyError(str(error)) from error
        finally:
            self._plant.stop()

    def make_env(self, env_id: str) -> PendulumEnv:
        """The pendulum environment over the plant."""
        return PendulumEnv(plant=self._plant)

    def maintain(self, task: str, say: Callable[[str], None], options: Mapping[str, float]) -> None:
        """Self-test (which clears a trip when it passes), calibration, or a torque for some seconds."""
        if task != "jog":
            self._plant.clear()
        try:
            if task == "calibrate":
                self._calibrate(say)
            elif task == "jog":
                calibration.jog(self._plant, options.get("torque", 0.5), options.get("seconds", 0.5), say)
            else:
                calibration.self_test(self._plant, say)
        except PlantError as error:
            raise UnhealthyError(str(error)) from error
        except HardwareError as error:
            if task == "selftest":
                self._plant.safety.trip("selftest", str(error))
            raise
        finally:
            self._plant.stop()

    def announce(self, text: str) -> None:
        """Show it on the LED matrix, where there is one."""
        if self._display is not None:
            self._display.show(text)

    def interventions(self) -> list[str]:
        """What the safety layer did since the last call."""
        return self._plant.safety.interventions()

    def stop(self) -> None:
        """Motor off."""
        self._plant.stop()

    def fault(self) -> str | None:
        """Why it is not fit to run, or None."""
        return self._plant.fault()

    def close(self) -> None:
        """Motor off, pins free, display dark."""
        self._plant.close()
        if self._display is not None:
            self._display.close()
            self._display = None

    def _calibrate(self, say: Callable[[str], None]) -> None:
        new, fit = calibration.calibrate(self._plant, self._profile.name, self._passport, say)
        self._plant.stop()
        save_passport(self._passports, new)
        self._use(new)
        say(f"passport {new.version} is in force")
        say(_drawn(new, fit, self._passports / f"{new.version}.svg"))
        for name in ("gravity", "torque_gain", "viscous", "coulomb", "dead_zone_duty", "delay", "zero"):
            found = getattr(new, name)
            say(f"  {name:15} {found.value:9.4f} ± {found.half_width:.4f}")
        say(f"  unseen data are predicted to {new.held_out_error:.2f} counts")

    def _use(self, passport: Passport) -> None:
        self._passport, self._homed = passport, True
        self._plant.use(passport, passport.params(self._dt))


def _drawn(passport: Passport, fit: Fit, path: Path) -> str:
    """Draw the passport; a sentence on where the plots are, or why there are none."""
    try:
        save_plots(passport, fit, path)
    except ImportError as error:
        return f"no plots: {error}"
    except OSError as error:
        return f"no plots: {path} cannot be written ({error.strerror})"
    return f"its plots are in {path}"
