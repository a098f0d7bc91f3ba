"""Inputs that show every rounding and special case, and bitwise comparison."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from pto_sim.numerics.element_types import STORAGE, is_float

BF16 = np.dtype(ml_dtypes.bfloat16)
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def bits(array: np.ndarray) -> np.ndarray:
    """The array's bit patterns."""
    array = np.ascontiguousarray(array)
    return array.view(_UNSIGNED[array.itemsize])


def assert_same_bits(actual: np.ndarray, expected: np.ndarray, *inputs: np.ndarray, what: str = "") -> None:
    """Equal shape, dtype and bits; a NaN equals any NaN. what: said first where they differ."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    same = bits(actual) == bits(expected)
    if is_float(actual.dtype):
        same |= np.isnan(actual.astype(np.float32)) & np.isnan(expected.astype(np.float32))
    if not same.all():
        at = tuple(np.argwhere(~same)[0])
        shown = [x[at] for x in inputs if x.shape == actual.shape]
        raise AssertionError(
            f"{what} {(~same).sum()} of {same.size} differ; at {at}: {actual[at]!r}, want {expected[at]!r}, in {shown}"
        )


def specials(dtype: np.dtype) -> np.ndarray:
    """Zeros, subnormals, ones, ties, the largest, infinities and NaN of a float type; extremes of an integer type."""
    if not is_float(dtype):
        info = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, 7, 100, info.max, info.max - 1, info.min, info.min + 1, info.max // 2], dtype)
    width = 8 * dtype.itemsize
    mantissa = {np.dtype(np.float32): 23, np.dtype(np.float16): 10, BF16: 7}[dtype]
    top = 1 << (width - 1)
    infinity = ((1 << (width - 1 - mantissa)) - 1) << mantissa
    one = ((1 << (width - 2 - mantissa)) - 1) << mantissa
    patterns = [0, 1, 2, (1 << mantissa) - 1, 1 << mantissa, one, one + 1, one - 1, one + (1 << (mantissa - 1))]
    patterns += [infinity - 1, infinity - 2, infinity, infinity | (1 << (mantissa - 1)), one + (3 << mantissa)]
    return np.array(patterns + [top | p for p in patterns], _UNSIGNED[dtype.itemsize]).view(dtype)


def sample(dtype_name: str, shape: tuple[int, ...], seed: int = 0, moderate: bool = False) -> np.ndarray:
    """Special values at random places among random ones. moderate: finite values of ordinary size only."""
    dtype = STORAGE[dtype_name]
    rng = np.random.default_rng(seed)
    if not is_float(dtype):
        info = np.iinfo(dtype)
        small = rng.integers(max(info.min, -20), 20, shape).astype(dtype)
        wild = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        values = np.where(rng.random(shape) < 0.5, small, wild)
    else:
        values = (rng.standard_normal(shape) * 4).astype(np.float32).astype(dtype)
        if not moderate:
            wild = rng.integers(0, 1 << (8 * dtype.itemsize), shape, dtype=np.uint64).astype(_UNSIGNED[dtype.itemsize])
            values = np.where(rng.random(shape) < 0.3, wild.view(dtype), values)
    if moderate:
        return values
    chosen = specials(dtype)[rng.integers(0, len(specials(dtype)), shape)]
    return np.where(rng.random(shape) < 0.3, chosen, values).astype(dtype)
