"""Box and Discrete spaces as JSON, and their elements as flat tuples of floats, for the step contract."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces

Floats: TypeAlias = tuple[float, ...]
MAX_ELEMENTS = 1 << 14
"""The largest space: its description and its elements stay far under a frame's limit."""


def space_size(space: spaces.Space[Any]) -> int:
    """How many floats an element is; raises ValueError for a space that cannot be hosted."""
    if isinstance(space, spaces.Discrete):
        return 1
    if not isinstance(space, spaces.Box):
        kind = type(space).__name__
        raise ValueError(  # noqa: TRY004 - its type is Space, which is right
            f"a {kind} space cannot be hosted; use Box or Discrete, or a wrapper that flattens it"
        )
    size = math.prod(space.shape)
    if size > MAX_ELEMENTS:
        raise ValueError(f"a space of {size} elements is too large; {MAX_ELEMENTS} is the limit")
    return size


def flatten(value: Any) -> Floats:
    """An element as floats, row-major. Raises TypeError or ValueError for what is no number."""
    return tuple(np.asarray(value, dtype=np.float64).ravel().tolist())


def unflatten(space: spaces.Space[Any], values: Sequence[float]) -> Any:
    """The inverse of `flatten`: a fresh array of the space's shape and dtype, or an integer."""
    if isinstance(space, spaces.Discrete):
        return np.int64(values[0])
    return np.array(values, dtype=space.dtype).reshape(space.shape)


def decoder(space: spaces.Space[Any]) -> Callable[[Sequence[float]], Any]:
    """`unflatten` for one space; for a plain vector of floats three times as fast."""
    code = {"float32": "f", "float64": "d"}.get(str(space.dtype))
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or code is None:
        return lambda values: unflatten(space, values)
    size, dtype, empty = space.shape[0], space.dtype, np.empty
    pack: Callable[..., None] = struct.Struct(f"={size}{code}").pack_into

    def decode(values: Sequence[float]) -> Any:
        array = empty(size, dtype)
        pack(array, 0, *values)
        return array

    return decode


def limited(space: spaces.Space[Any], values: Floats) -> Any:
    """The element of the space nearest to `values`."""
    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        return np.int64(min(first + int(space.n) - 1, max(first, round(values[0]))))
    assert isinstance(space, spaces.Box)  # noqa: S101 - `space_size` refused anything else
    return np.clip(np.array(values).reshape(space.shape), space.low, space.high).astype(space.dtype)


def neutral(space: spaces.Space[Any]) -> Floats:
    """The action that does nothing: zero, or what is nearest to it; the first of a Discrete space."""
    if isinstance(space, spaces.Discrete):
        return (float(space.start),)
    return flatten(limited(space, (0.0,) * space_size(space)))


def encode_space(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space as JSON; raises ValueError for one that cannot be hosted.

    A bound is a list of numbers, or a list of one where all are the same; null stands for infinity.
    """
    space_size(space)
    if isinstance(space, spaces.Discrete):
        return {"type": "discrete", "n": int(space.n), "start": int(space.start)}
    assert isinstance(space, spaces.Box)  # noqa: S101 - `space_size` refused anything else
    low, high = _encode_bound(space.low), _encode_bound(space.high)
    return {"type": "box", "shape": list(space.shape), "dtype": str(space.dtype), "low": low, "high": high}


def decode_space(value: Mapping[str, Any]) -> spaces.Box | spaces.Discrete:
    """The inverse of `encode_space`; raises ValueError for anything else."""
    try:
        if value["type"] == "discrete":
            return spaces.Discrete(int(value["n"]), start=int(value["start"]))
        shape, dtype = tuple(value["shape"]), np.dtype(value["dtype"])
        low = _decode_bound(value["low"], -math.inf, shape, dtype)
        high = _decode_bound(value["high"], math.inf, shape, dtype)
        return spaces.Box(low, high, shape, dtype.type)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this describes no Box or Discrete space ({error})") from error


def _encode_bound(bound: Any) -> list[float | None]:
    values = [None if math.isinf(x) else x for x in bound.ravel().tolist()]
    return values[:1] if len(set(values)) == 1 else values


def _decode_bound(values: Any, infinite: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    bound = np.array([infinite if x is None else x for x in values], dtype=dtype)
    return np.full(shape, bound[0]) if len(bound) == 1 else bound.reshape(shape)
