"""Conversions with saturation switched on, as upstream's simulator computes them.

The compiler never asks for this mode, so no operator of the language reaches it; it is here for whoever compares with
the simulator (pto-isa: include/pto/cpu/TCvt.hpp, SaturationMode::ON).
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.casts import convert, narrow_double
from pto_sim.numerics.element_types import NAMES, STORAGE, is_float
from pto_sim.numerics.profiles import CPU_SIM


def _limits(dtype: np.dtype) -> tuple[float, float]:
    """Least and largest finite value of an element type as doubles; those of INT64 round."""
    if not is_float(dtype):
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    largest = {"FP32": float(np.finfo(np.float32).max), "FP16": 65504.0, "BF16": float.fromhex("0x1.fep127")}
    return -largest[NAMES[dtype]], largest[NAMES[dtype]]


def _from_double(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A double as an element type by a C cast: floats to nearest even, INT64 out of range is its least value."""
    if is_float(dtype):
        return value.astype(np.float32) if dtype == np.float32 else narrow_double(value, dtype)
    inside = value < 2.0**63
    whole = np.where(inside, value, 0.0).astype(np.int64)
    return np.where(inside, whole, np.iinfo(np.int64).min).astype(dtype)


def convert_saturating(x: np.ndarray, target: str, mode: str | int = "round") -> np.ndarray:
    """x clamped to what both element types hold, then converted as `cpu-sim` converts without saturation. Same shape.

    The clamp is in FP64 and goes back to x's type before the conversion, so a limit may round up and overflow after
    all: FP32 to INT32 gives the least integer for NaN and for what is too big. NaN becomes the upper limit.
    """
    source, storage = x.dtype, STORAGE[target]
    low = max(_limits(source)[0], _limits(storage)[0])
    high = min(_limits(source)[1], _limits(storage)[1])
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        below = np.where(wide < high, wide, high)
        return convert(_from_double(np.where(low < below, below, low), source), target, mode, CPU_SIM)
