"""The physics of `raas_gym.dynamics` for many pendulums at once, in NumPy.

Read it beside `make_step`: the operations and their order are the same, so in float64 both give
the same bits wherever NumPy's `sin` agrees with the C library's (a property test compares them).
In float32 the error of one step is a few units in the seventh digit.

Work happens in buffers kept between calls (an allocation costs as much as an addition at a
thousand pendulums); what `step` and `measure` return is new each time. One object serves one thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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
    """

    def __init__(self, params: PendulumParams, size: int, dtype: DTypeLike = np.float64) -> None:
        self.params = params
        self.size = size
        self.dtype = np.dtype(dtype)
        self.own: dict[str, NDArray[np.float64]] = {name: np.empty(size) for name in OWN}
        self._coefficients: dict[str, Array] = {}
        self._shares: list[Array | float] = []
        euler = params.integrator == "euler"
        self.step = self._euler_step if euler else self._verlet_step
        self._opens_at = params.substeps - round(params.velocity_window / self._h)
        self._buffers = tuple(np.empty(size, self.dtype) for _ in range(6))
        self._flags = np.empty(size, np.bool_), np.empty(size, np.bool_)
        self.assign(slice(None), params)

    @property
    def _h(self) -> float:
        return self.params.dt / self.params.substeps

    def assign(self, rows: Rows, params: PendulumParams) -> None:
        """Give some pendulums new parameters. Raises ValueError if a shared one differs."""
        for name in SHARED:
            if getattr(params, name) != getattr(self.params, name):
                raise ValueError(
                    f"pendulums in one batch share {name}; make another batch for a different one"
                )
        for name in OWN:
            self.own[name][rows] = getattr(params, name)
        self._refresh()

    def randomize(
        self, rows: Rows, params: PendulumParams, spread: Mapping[str, float], uniforms: NDArray[np.float64]
    ) -> None:
        """`raas_gym.dynamics.randomized` for many: `uniforms` (rows, names) are draws from 0..1, names sorted."""
        for column, name in enumerate(sorted(spread)):
            width = spread[name]
            factor = 1.0 + (-width + (width + width) * uniforms[:, column])
            self.own[name][rows] = getattr(params, name) * factor
        self.own["breakaway"][rows] = np.maximum(self.own["breakaway"][rows], self.own["coulomb"][rows])
        if (self.own["dead_zone"] >= MAX_TORQUE).any():
            raise ValueError(f"a randomised dead_zone reaches {MAX_TORQUE}; choose a smaller spread")
        self._refresh()

    def _refresh(self) -> None:
        """Recompute what a step multiplies with: `raas_gym.dynamics.coefficients`, in arrays."""
        own, h = self.own, self._h
        values = {
            "gravity": own["gravity"],
            "gain": own["torque_gain"],
            "viscous": own["viscous"],
            "gravity_kick": h * own["gravity"],
            "torque_kick": h * own["torque_gain"],
            "torque_drag": h * own["torque_gain"] / own["no_load_speed"],
            "damping": 1.0 - h * own["viscous"],
            "slide": h * own["coulomb"],
            "minus_slide": -h * own["coulomb"],
            "stick": h * own["breakaway"],
            "dead_zone": own["dead_zone"],
            "minus_dead_zone": -own["dead_zone"],
            "rescale": MAX_TORQUE / (MAX_TORQUE - own["dead_zone"]),
        }
        self._coefficients = {name: value.astype(self.dtype) for name, value in values.items()}
        fraction = np.fmod(own["delay"], self.params.dt)
        self._shares = [self._share(fraction, start * h) for start in range(self.params.substeps)]

    def _share(self, fraction: NDArray[np.float64], start: float) -> Array | float:
        """How much of the sub-step beginning at `start` has the new torque; a plain 0 or 1 where all agree."""
        share = 1.0 - np.clip((fraction - start) / self._h, 0.0, 1.0)
        return (
            float(share[0])
            if share[0] in (0.0, 1.0) and (share == share[0]).all()
            else share.astype(self.dtype)
        )

    def drive(self, torque: Array) -> Array:
        """The torque that gets past the dead zone; what `step` takes."""
        if self.params.integrator == "euler":
            return torque
        c = self._coefficients
        blocked = np.minimum(torque, c["dead_zone"])
        np.maximum(blocked, c["minus_dead_zone"], out=blocked)
        np.subtract(torque, blocked, out=blocked)
        return np.multiply(blocked, c["rescale"], out=blocked)

    def _euler_step(
        self, theta: Array, theta_dot: Array, _old: Array, new: Array
    ) -> tuple[Array, Array, Array]:
        """One period, as `make_step`: (θ, θ̇, old drive, new drive) -> (θ, θ̇, θ when the window opened)."""
        c, limit, dt = self._coefficients, self.params.speed_limit, self.params.dt
        change, term, *_ = self._buffers
        np.sin(theta, out=change)
        np.multiply(c["gravity"], change, out=change)
        np.multiply(c["gain"], new, out=term)
        np.add(change, term, out=change)
        np.multiply(c["viscous"], theta_dot, out=term)
        np.subtract(change, term, out=change)
        np.multiply(change, dt, out=change)
        speed = np.add(theta_dot, change)
        np.minimum(speed, limit, out=speed)
        np.maximum(speed, -limit, out=speed)
        np.multiply(speed, dt, out=term)
        return np.add(theta, term), speed, theta

    def _verlet_step(
        self, theta: Array, theta_dot: Array, old: Array, new: Array
    ) -> tuple[Array, Array, Array]:
        """One period, as `make_step`: (θ, θ̇, old drive, new drive) -> (θ, θ̇, θ when the window opened)."""
        gravity_kick, push, way = self._coefficients["gravity_kick"], *self._buffers[:2]
        h, pushes = self._h, self._pushes(old, new)
        middle, speed, opened = np.empty_like(theta), theta_dot, theta
        np.multiply(0.5 * h, speed, out=way)
        np.add(theta, way, out=middle)
        for number, (keep, kick) in enumerate(pushes):
            if number == self._opens_at:
                np.multiply(0.5 * h, speed, out=way)
                opened = np.subtract(middle, way)
            np.sin(middle, out=push)
            np.multiply(gravity_kick, push, out=push)
            np.multiply(speed, keep, out=way)
            np.add(way, kick, out=way)
            np.add(way, push, out=way)
            speed = self._after_friction(speed, way, push)
            np.multiply(h, speed, out=way)
            np.add(middle, way, out=middle)
        np.multiply(0.5 * h, speed, out=way)
        np.subtract(middle, way, out=middle)
        return middle, speed, middle if self._opens_at == len(pushes) else opened

    def _pushes(self, old: Array, new: Array) -> list[tuple[Array, Array]]:
        """For each sub-step the factor on θ̇ and the kick of the torque, as it passes from old to new."""
        c = self._coefficients
        keep, keep_change, kick, kick_change = self._buffers[2:6]
        size, new_size = self._buffers[:2]
        np.abs(old, out=size)
        np.abs(new, out=new_size)
        np.multiply(c["torque_drag"], size, out=keep)
        np.subtract(c["damping"], keep, out=keep)
        np.subtract(size, new_size, out=size)
        np.multiply(c["torque_drag"], size, out=keep_change)
        np.multiply(c["torque_kick"], old, out=kick)
        np.subtract(new, old, out=kick_change)
        np.multiply(c["torque_kick"], kick_change, out=kick_change)
        pushes = {0.0: (keep, kick), 1.0: (keep + keep_change, kick + kick_change)}
        return [
            pushes[share]
            if isinstance(share, float)
            else (keep + share * keep_change, kick + share * kick_change)
            for share in self._shares
        ]

    def _after_friction(self, before: Array, speed: Array, scratch: Array) -> Array:
        """Dry friction only ever brakes: what it cannot stop within the sub-step, it slows."""
        c = self._coefficients
        # Looking for pendulums at rest costs less than treating all as if they might be.
        if np.count_nonzero(before) != self.size:
            resting, held = self._flags
            np.equal(before, 0.0, out=resting)
            np.abs(speed, out=scratch)
            np.less_equal(scratch, c["stick"], out=held)
            np.logical_and(resting, held, out=held)
            np.copyto(speed, 0.0, where=held)
        np.minimum(speed, c["slide"], out=scratch)
        np.maximum(scratch, c["minus_slide"], out=scratch)
        return np.subtract(speed, scratch)

    def measure(self, theta: Array, theta_dot: Array, opened: Array) -> tuple[Array, Array]:
        """What the encoders say, as `raas_gym.dynamics.measured`; also for some of the pendulums alone."""
        count, window = self.params.encoder_count, self.params.velocity_window
        if count:
            now = np.subtract(theta, math.pi)
            np.divide(now, count, out=now)
            np.rint(now, out=now)
            theta = np.multiply(now, count)
            np.add(theta, math.pi, out=theta)
            if window:
                then = np.subtract(opened, math.pi)
                np.divide(then, count, out=then)
                np.rint(then, out=then)
                np.subtract(now, then, out=now)
                theta_dot = np.multiply(now, count / window, out=now)
        elif window:
            theta_dot = np.subtract(theta, opened)
            np.divide(theta_dot, window, out=theta_dot)
        theta_dot = np.minimum(theta_dot, MAX_SPEED)
        return theta, np.maximum(theta_dot, -MAX_SPEED, out=theta_dot)


def squared_angle(theta: Array) -> Array:
    """θ² with θ wrapped to [−π, π). Flooring is eight times as fast as NumPy's remainder."""
    turns = np.add(theta, math.pi)
    np.multiply(turns, 1.0 / TURN, out=turns)
    np.floor(turns, out=turns)
    np.multiply(turns, TURN, out=turns)
    np.subtract(theta, turns, out=turns)
    return np.multiply(turns, turns, out=turns)
