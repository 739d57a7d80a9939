"""The physics of `raas_gym.dynamics` for many pendulums at once, in NumPy.

Read it beside `make_drive`, `make_step` and `make_sensor`: the operations and their order are the same,
so in float64 both give the same bits wherever NumPy's `sin` agrees with the C library's (a property test
compares them). In float32 one step is off by less than 1e-5.

At a thousand pendulums a NumPy call costs more than its arithmetic. Hence work happens in buffers kept
between calls, constants are arrays already, and a ufunc's third argument says where its result goes.
What `step` and `measure` return is new each time. One object serves one thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy import absolute, add, divide, maximum, minimum, multiply, rint, sin, subtract
from numpy.typing import DTypeLike, NDArray

from raas_gym.dynamics import DEFAULT_SPREAD, MAX_SPEED, MAX_TORQUE, TURN, PendulumParams

Array = NDArray[np.floating[Any]]
Rows = NDArray[np.intp] | slice

OWN = tuple(sorted(DEFAULT_SPREAD))
"""The parameters in which the pendulums of one batch may differ."""
SHARED = ("dt", "substeps", "integrator", "velocity_window", "encoder_count", "speed_limit")
"""The parameters they all have in common."""


class BatchDynamics:
    """`size` pendulums of one build, all with `params` until `assign` or `randomize` says otherwise.

    All arrays are (size,) and of type `dtype`; angles in rad, θ = 0 upright; torques in action units.
    `own` holds the parameters of each pendulum, by name, in float64.
    """

    def __init__(self, params: PendulumParams, size: int, dtype: DTypeLike = np.float64) -> None:
        self.params = params
        self.size = size
        self.dtype = np.dtype(dtype)
        self.own: dict[str, NDArray[np.float64]] = {name: np.empty(size) for name in OWN}
        self.step = self._euler_step if params.integrator == "euler" else self._verlet_step
        self._h = params.dt / params.substeps
        self._opens_at = params.substeps - round(params.velocity_window / self._h)
        self._buffers = tuple(np.empty(size, self.dtype) for _ in range(7))
        self._sine_of = self._sine = np.zeros(size, self.dtype)
        self._fix_constants()
        self.assign(slice(None), params)

    def _fix_constants(self) -> None:
        p, fixed = self.params, self._fixed
        self._whole, self._half, self._dt = fixed(self._h), fixed(0.5), fixed(p.dt)
        self._limit, self._minus_limit = fixed(p.speed_limit), fixed(-p.speed_limit)
        self._top, self._minus_top, self._pi = fixed(MAX_SPEED), fixed(-MAX_SPEED), fixed(math.pi)
        self._count, self._window = fixed(p.encoder_count), fixed(p.velocity_window)
        self._count_speed = fixed(p.encoder_count / p.velocity_window if p.velocity_window else 0.0)
        self._turn, self._per_turn = fixed(TURN), fixed(1.0 / TURN)

    def _fixed(self, value: float) -> Array:
        return np.array(value, self.dtype)

    def assign(self, rows: Rows, params: PendulumParams) -> None:
        """Give some pendulums new parameters. Raises ValueError if a shared one differs."""
        for name in SHARED:
            if getattr(params, name) != getattr(self.params, name):
                raise ValueError(
                    f"pendulums of one batch share {name}; make another batch for a different one"
                )
        for name in OWN:
            self.own[name][rows] = getattr(params, name)
        self._refresh()

    def randomize(
        self, rows: Rows, params: PendulumParams, spread: Mapping[str, float], uniforms: NDArray[np.float64]
    ) -> None:
        """`raas_gym.dynamics.randomized` for many; `uniforms` (rows, sorted names) are draws from 0..1.

        Raises ValueError for an unknown name, a spread outside 0..1 or a dead zone that leaves no torque.
        """
        for name in OWN:
            self.own[name][rows] = getattr(params, name)
        for column, name in enumerate(sorted(spread)):
            if name not in OWN:
                raise ValueError(f"cannot randomize {name!r}; choose from {', '.join(OWN)}")
            width = spread[name]
            if not 0.0 <= width <= 1.0:
                raise ValueError(f"the spread of {name} is {width}; give a fraction between 0 and 1")
            factor = 1.0 + (-width + (width + width) * uniforms[:, column])
            self.own[name][rows] = getattr(params, name) * factor
        self.own["breakaway"][rows] = np.maximum(self.own["breakaway"][rows], self.own["coulomb"][rows])
        if (self.own["dead_zone"] >= MAX_TORQUE).any():
            raise ValueError(f"a randomised dead_zone reaches {MAX_TORQUE}; choose a smaller spread")
        self._refresh()

    def _refresh(self) -> None:
        """Recompute what a step multiplies with: `raas_gym.dynamics.coefficients`, in arrays."""
        own, h, typed = self.own, self._h, self._typed
        self._gravity, self._gain, self._viscous = (
            typed(own["gravity"]),
            typed(own["torque_gain"]),
            typed(own["viscous"]),
        )
        self._gravity_kick = typed(h * h * own["gravity"])
        self._torque_kick = typed(h * h * own["torque_gain"])
        self._torque_drag = typed(h * own["torque_gain"] / own["no_load_speed"])
        self._damping = typed(1.0 - h * own["viscous"])
        self._slide, self._minus_slide = typed(h * h * own["coulomb"]), typed(-h * h * own["coulomb"])
        self._stick = typed(h * h * own["breakaway"])
        self._dead_zone, self._minus_dead_zone = typed(own["dead_zone"]), typed(-own["dead_zone"])
        self._rescale = typed(MAX_TORQUE / (MAX_TORQUE - own["dead_zone"]))
        fraction = np.fmod(own["delay"], self.params.dt)
        self._shares = [self._share(fraction, number * h) for number in range(self.params.substeps)]

    def _typed(self, values: NDArray[np.float64]) -> Array:
        return values.astype(self.dtype)

    def _share(self, fraction: NDArray[np.float64], start: float) -> Array | float:
        """How much of the sub-step from `start` has the new torque; a plain 0.0 or 1.0 where all agree."""
        share = 1.0 - np.clip((fraction - start) / self._h, 0.0, 1.0)
        agreed = float(share[0])
        return agreed if agreed in (0.0, 1.0) and (share == agreed).all() else self._typed(share)

    def drive(self, torque: Array) -> Array:
        """The torque that gets past the dead zone, which is what `step` takes."""
        if self.params.integrator == "euler":
            return torque
        blocked = minimum(torque, self._dead_zone)
        maximum(blocked, self._minus_dead_zone, out=blocked)
        subtract(torque, blocked, blocked)
        return multiply(blocked, self._rescale, blocked)

    def _euler_step(
        self, theta: Array, theta_dot: Array, _old: Array, new: Array
    ) -> tuple[Array, Array, Array]:
        """One period, as `make_step`: (θ, θ̇, old drive, new drive) -> (θ, θ̇, θ when the window opened)."""
        change, term = self._buffers[:2]
        multiply(self._gravity, self.sine(theta), change)
        multiply(self._gain, new, term)
        add(change, term, change)
        multiply(self._viscous, theta_dot, term)
        subtract(change, term, change)
        multiply(change, self._dt, change)
        speed = add(theta_dot, change)
        minimum(speed, self._limit, out=speed)
        maximum(speed, self._minus_limit, out=speed)
        multiply(speed, self._dt, term)
        return add(theta, term), speed, theta

    def _verlet_step(
        self, theta: Array, theta_dot: Array, old: Array, new: Array
    ) -> tuple[Array, Array, Array]:
        """One period, as `make_step`: (θ, θ̇, old drive, new drive) -> (θ, θ̇, θ when the window opened)."""
        (push, term, way), opened = self._buffers[:3], theta
        half, gravity_kick, opens_at = self._half, self._gravity_kick, self._opens_at
        pushes, (dry, minus_dry) = self._pushes(old, new), self._dry_friction(theta_dot)
        multiply(self._whole, theta_dot, way)
        multiply(half, way, term)
        middle = add(theta, term)
        for number, (keep, kick) in enumerate(pushes):
            if number == opens_at:
                multiply(half, way, term)
                opened = subtract(middle, term)
            sin(middle, push)
            multiply(gravity_kick, push, push)
            multiply(way, keep, way)
            add(way, kick, way)
            add(way, push, way)
            # Friction only ever brakes: what it cannot stop within the sub-step, it slows.
            minimum(way, dry, out=push)
            maximum(push, minus_dry, out=push)
            subtract(way, push, way)
            add(middle, way, middle)
        multiply(half, way, term)
        subtract(middle, term, middle)
        return middle, divide(way, self._whole), middle if opens_at == len(pushes) else opened

    def _pushes(self, old: Array, new: Array) -> list[tuple[Array, Array]]:
        """For each sub-step the factor on the way and the kick of the torque, passing from old to new."""
        size, keep, new_keep, kick, new_kick = self._buffers[2:]
        drag, torque_kick = self._torque_drag, self._torque_kick
        for drive, kept, kicked in ((old, keep, kick), (new, new_keep, new_kick)):
            absolute(drive, size)
            multiply(drag, size, size)
            subtract(self._damping, size, kept)
            multiply(torque_kick, drive, kicked)
        unmixed = {0.0: (keep, kick), 1.0: (new_keep, new_kick)}
        return [
            unmixed[share]
            if isinstance(share, float)
            else ((1.0 - share) * keep + share * new_keep, (1.0 - share) * kick + share * new_kick)
            for share in self._shares
        ]

    def _dry_friction(self, theta_dot: Array) -> tuple[Array, Array]:
        """What dry friction takes of the way in a sub-step, both signs: more if a period begins at rest."""
        # Looking for pendulums at rest costs less than treating all as if they might be.
        if np.count_nonzero(theta_dot) == self.size:
            return self._slide, self._minus_slide
        dry = np.where(theta_dot, self._slide, self._stick)
        return dry, np.negative(dry)

    def measure(self, theta: Array, theta_dot: Array, opened: Array) -> tuple[Array, Array]:
        """What the encoders say, as `make_sensor`; exact ones hand the arguments back."""
        given = theta_dot
        if self.params.encoder_count:
            now = self._counted(theta)
            if self.params.velocity_window:
                theta_dot = subtract(now, self._counted(opened))
                multiply(theta_dot, self._count_speed, theta_dot)
            multiply(now, self._count, now)
            theta = add(self._pi, now, now)
        elif self.params.velocity_window:
            theta_dot = subtract(theta, opened)
            divide(theta_dot, self._window, theta_dot)
        if theta_dot is given and self.params.speed_limit <= MAX_SPEED:
            return theta, theta_dot
        theta_dot = minimum(theta_dot, self._top)
        return theta, maximum(theta_dot, self._minus_top, out=theta_dot)

    def _counted(self, theta: Array) -> Array:
        counts = subtract(theta, self._pi)
        divide(counts, self._count, counts)
        return rint(counts, counts)

    def sine(self, theta: Array) -> Array:
        """sin θ. An observation and the next step ask for the same one, so the last answer is kept."""
        if theta is not self._sine_of:
            self._sine_of, self._sine = theta, sin(theta)
        return self._sine

    def squared_angle(self, theta: Array) -> Array:
        """θ² with θ wrapped to ±π. Rounding to whole turns is ten times as fast as NumPy's remainder."""
        turns = multiply(theta, self._per_turn)
        rint(turns, turns)
        multiply(turns, self._turn, turns)
        subtract(theta, turns, turns)
        return multiply(turns, turns, turns)
