"""Random numbers for many environments, each from a stream of its own, without a Python call for each draw.

Environment i draws exactly what `numpy.random.default_rng(seed_i).random()` would give a single
environment, one number after the other. The numbers are fetched a block at a time, because a
generator's call costs a hundred times what the number itself does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 64


class UniformStreams:
    """Uniform numbers in [0, 1) for `size` environments; unseeded streams start from the system's entropy."""

    def __init__(self, size: int) -> None:
        self._generators: list[np.random.Generator | None] = [None] * size
        self._block = np.empty((size, BLOCK))
        self._used = np.full(size, BLOCK, dtype=np.intp)

    def seed(self, row: int, seed: int) -> None:
        """Start one environment's stream anew."""
        self._generators[row] = np.random.default_rng(seed)
        self._used[row] = BLOCK

    def draw(self, rows: NDArray[np.intp], count: int) -> NDArray[np.float64]:
        """The next `count` (at most 64) numbers of some streams, (rows, count)."""
        if count > BLOCK:
            raise ValueError(f"at most {BLOCK} numbers can be drawn at once, not {count}")
        for row in rows[self._used[rows] + count > BLOCK].tolist():
            self._refill(row)
        columns = self._used[rows][:, None] + np.arange(count)
        self._used[rows] += count
        drawn: NDArray[np.float64] = self._block[rows[:, None], columns]
        return drawn

    def _refill(self, row: int) -> None:
        generator = self._generators[row]
        if generator is None:
            generator = self._generators[row] = np.random.default_rng()
        block, left = self._block[row], BLOCK - int(self._used[row])
        block[:left] = block[BLOCK - left :]
        generator.random(out=block[left:])
        self._used[row] = 0


def seeds_of(seed: int | Sequence[int | None] | None, size: int) -> list[int | None]:
    """One seed for each environment: `seed`, `seed + 1`, …, or those given. Raises ValueError."""
    if seed is None:
        return [None] * size
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + number for number in range(size)]
    if len(seed) != size:
        raise ValueError(f"there are {len(seed)} seeds for {size} environments; give one each, or one number")
    return [None if one is None else int(one) for one in seed]
