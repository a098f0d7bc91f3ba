"""What a tile holds outside its valid shape after a fill.

pto-isa: include/pto/cpu/TFillPad.hpp: zero is 0; max and min are the infinities of a float type and the extremes of
an integer type (min of an unsigned type is 0).
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.element_types import is_float

PADS = ("zero", "max", "min")


def pad_of(dtype: np.dtype, pad: str) -> np.ndarray:
    """The pad value, 0-d, in an element type. pad: 'zero', 'max' or 'min'."""
    if pad == "zero":
        return np.zeros((), dtype)
    if is_float(dtype):
        return np.array(np.inf if pad == "max" else -np.inf, np.float32).astype(dtype)
    info = np.iinfo(dtype)
    return np.array(info.max if pad == "max" else info.min, dtype)


def pad_number(dtype: np.dtype, value: float) -> object:
    """A pad number in an element type: infinities become the extremes of an integer type."""
    if value == 0 or dtype.kind not in "iu":
        return np.float32(value).astype(dtype)
    return np.iinfo(dtype).max if value > 0 else np.iinfo(dtype).min


def fill_outside(x: np.ndarray, valid: tuple[int, ...], shape: tuple[int, ...], pad: str) -> np.ndarray:
    """A tile of `shape` that holds x inside `valid` and the pad value elsewhere. x: [L, *tile]."""
    out = np.empty((len(x), *shape), x.dtype)
    out[...] = pad_of(x.dtype, pad)
    box = (slice(None), *(slice(0, extent) for extent in valid))
    out[box] = x[box]
    return out
