"""A plant turns a torque into motion: a simulation here, GPIO hardware in `hardware.plant`.

`Plant` is the whole seam between the environment and a robot. One conformance suite runs over every
implementation. Angles: θ = 0 upright, θ = π hanging, in rad, unwrapped; θ̇ in rad/s.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from raas_gym.dynamics import (
    DEFAULT_SPREAD,
    MAX_TORQUE,
    PRESETS,
    PendulumParams,
    State,
    make_drive,
    make_sensor,
    make_step,
    randomized,
)


class Measurement(NamedTuple):
    """What the sensors say: θ in rad (unwrapped), θ̇ in rad/s (within ±20)."""

    theta: float
    theta_dot: float


class PlantError(RuntimeError):
    """The plant cannot go on; the message says what happened and what to do."""


class Plant(Protocol):
    """What a pendulum must be able to do. Calls come from one thread, except `stop`."""

    @property
    def params(self) -> PendulumParams:
        """The physical parameters: true ones in simulation, identified ones on hardware."""

    @property
    def passport(self) -> Mapping[str, Any]:
        """The calibration record, ready for JSON."""

    @property
    def simulated(self) -> bool:
        """True if no motor turns."""

    def reset(self, seed: int | None, options: Mapping[str, Any]) -> Measurement:
        """Bring the pendulum to the start and return what it measures there.

        `options` are the keyword options of the environment's reset. A plant raises ValueError for an
        option it cannot honour: hardware starts hanging at rest, and waits until it does.
        """

    def apply(self, torque: float) -> float:
        """Command a torque (action units) from now on; return what is really commanded after limits."""

    def advance(self) -> None:
        """Let one control period pass: a simulation computes it, for hardware time passes by itself."""

    def measure(self) -> Measurement:
        """Read the sensors, now."""

    def stop(self) -> None:
        """Motor off. Safe at any time, from any thread, again and again; ends a `reset` under way."""

    def close(self) -> None:
        """Motor off, and release what is held."""


START_OPTIONS = frozenset({"start", "theta", "theta_dot", "x_init", "y_init", "randomize", "params"})


class SimPlant:
    """A simulated pendulum; its true θ (rad, unwrapped) and θ̇ (rad/s) come first in `state`.

    params: a `PendulumParams` or the name of a preset ("measured", "ideal", "raw_motor").
    randomize: relative half-widths by parameter name, drawn anew at each reset (True: `DEFAULT_SPREAD`).
    """

    simulated = True
    state: State

    def __init__(
        self,
        params: PendulumParams | str = "measured",
        randomize: Mapping[str, float] | bool | None = None,
        start: str = "hanging",
    ) -> None:
        self._nominal = resolve_params(params)
        self._randomize = spread_of(randomize)
        self._start = checked_start(start)
        self._rng = np.random.default_rng()
        self._params = self._nominal
        self._build()
        self._place(math.pi, 0.0)

    @property
    def params(self) -> PendulumParams:
        """The parameters of this episode (randomised ones, if so asked)."""
        return self._params

    @property
    def passport(self) -> Mapping[str, Any]:
        """The true parameters, marked as simulated."""
        return {"plant": "simulated", "parameters": self._params.as_dict()}

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Measurement:
        """Start an episode.

        options: `start` "hanging" (at rest, within the angle friction holds) or "random" (θ within ±π,
        θ̇ within ±1); `x_init`, `y_init` bounds of a random start as in Pendulum-v1; `theta`,
        `theta_dot` an exact start; `randomize`, `params` as in the constructor, for this episode.
        """
        options = {} if options is None else options
        unknown = sorted(set(options) - START_OPTIONS)
        if unknown:
            raise ValueError(
                f"unknown reset option {unknown[0]!r}; known are {', '.join(sorted(START_OPTIONS))}"
            )
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        nominal = resolve_params(options["params"]) if "params" in options else self._nominal
        spread = spread_of(options["randomize"]) if "randomize" in options else self._randomize
        self._use(randomized(nominal, spread, self._rng) if spread else nominal)
        self._place(*self._draw_start(options))
        return self.measure()

    def apply(self, torque: float) -> float:
        """Command a torque; it is limited to ±2."""
        if torque > MAX_TORQUE:
            torque = MAX_TORQUE
        elif torque < -MAX_TORQUE:
            torque = -MAX_TORQUE
        self._torque = torque
        return torque

    def advance(self) -> None:
        """Integrate one control period."""
        self.run(self._torque)

    def measure(self) -> Measurement:
        """What the simulated encoder says."""
        return Measurement(*(self.state[:2] if self._sensor is None else self._sensor(self.state)))

    def stop(self) -> None:
        """Command zero torque."""
        self._torque = 0.0

    def close(self) -> None:
        """Command zero torque; there is nothing to release."""
        self.stop()

    def _use(self, params: PendulumParams) -> None:
        if params is not self._params or params.delay >= params.dt:
            self._params = params
            self._build()

    def _build(self) -> None:
        params = self._params
        self._sensor = make_sensor(params)
        self.run = self._make_run()

    def _make_run(self) -> Callable[[float], Sequence[float]]:
        """One period under a torque within ±2; θ and θ̇ as measured come first in the answer.

        `apply`, `advance` and `measure` in one function without the steps this pendulum does not need.
        """
        drive, step, sensor = make_drive(self._params), make_step(self._params), self._sensor
        on_the_way = deque([0.0] * int(self._params.delay // self._params.dt))

        def exactly(torque: float) -> Sequence[float]:
            self.state = state = step(self.state, torque)
            return state

        def measured(torque: float) -> Sequence[float]:
            self.state = state = step(self.state, drive(torque))  # type: ignore[misc]  # chosen below
            return sensor(state)  # type: ignore[misc]

        def delayed(torque: float) -> Sequence[float]:
            on_the_way.append(torque if drive is None else drive(torque))
            self.state = state = step(self.state, on_the_way.popleft())
            return state if sensor is None else sensor(state)

        if on_the_way or (drive is None) != (sensor is None):
            return delayed
        return exactly if drive is None else measured

    def _place(self, theta: float, theta_dot: float) -> None:
        # As if the pendulum had moved at this speed before the first tick, so that θ̇ reads true.
        self.state = (theta, theta_dot, theta - theta_dot * self._params.velocity_window, 0.0)
        self._torque = 0.0

    def _draw_start(self, options: Mapping[str, Any]) -> tuple[float, float]:
        if "theta" in options or "theta_dot" in options:
            return finite_option(options, "theta", math.pi), finite_option(options, "theta_dot", 0.0)
        start = checked_start(options.get("start", self._start))
        if start == "random" or "x_init" in options or "y_init" in options:
            x, y = abs(finite_option(options, "x_init", math.pi)), abs(finite_option(options, "y_init", 1.0))
            return self._rng.uniform(-x, x), self._rng.uniform(-y, y)
        # Dry friction holds the pendulum anywhere within this angle of the bottom.
        rest = self._params.coulomb / self._params.gravity
        return math.pi + self._rng.uniform(-rest, rest), 0.0


def resolve_params(params: Any) -> PendulumParams:
    """A `PendulumParams` from itself, a preset's name, or a mapping of field names."""
    if isinstance(params, PendulumParams):
        return params
    if isinstance(params, str):
        if params not in PRESETS:
            raise ValueError(f"no parameter set is called {params!r}; choose from {', '.join(PRESETS)}")
        return PRESETS[params]
    if isinstance(params, Mapping):
        return PendulumParams.from_dict(params)
    raise ValueError(f"params must be a name, a mapping or PendulumParams, not {type(params).__name__}")


def spread_of(randomize: Mapping[str, float] | bool | None) -> Mapping[str, float]:
    """The relative half-widths a `randomize` argument means."""
    if isinstance(randomize, Mapping):
        return randomize
    return DEFAULT_SPREAD if randomize else {}


def checked_start(start: Any) -> str:
    """Return `start` if it is "hanging" or "random"; anything else raises ValueError."""
    if start not in ("hanging", "random"):
        raise ValueError(f"start is {start!r}; choose 'hanging' or 'random'")
    return str(start)


def finite_option(options: Mapping[str, Any], name: str, default: float) -> float:
    """A finite number from reset options; raises ValueError otherwise."""
    value = float(options.get(name, default))
    if not math.isfinite(value):
        raise ValueError(f"reset option {name} is {value}; give a finite number")
    return value
