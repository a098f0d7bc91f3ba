"""Reductions over rows and columns, in the reference order (pto-isa: include/pto/cpu/TRowReduceOps.hpp, TColReduceOps.hpp)."""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.element_types import is_float


def row_sum(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Sum of each row, left to right from +0 in FP32 (integers in their own type, wrapping). x: [L, M, N] -> [L, M, 1].

    16-bit floats are widened and rounded once at the end.
    """
    wide = x.astype(np.float32) if is_float(x.dtype) else x
    total = np.zeros(x.shape[:-1], wide.dtype)
    with np.errstate(all="ignore"):
        for column in range(x.shape[-1]):
            total = total + wide[..., column]
    return total.astype(x.dtype)[..., None]


def _extreme(x: np.ndarray, axis: int, greater: bool) -> np.ndarray:
    """Element 0 along `axis`, replaced only by a strictly greater (or smaller) one: NaN at 0 sticks, later NaNs never win."""
    x = np.moveaxis(x, axis, 0)
    best = x[0]
    for item in x[1:]:
        best = np.where(item > best if greater else item < best, item, best)
    return np.expand_dims(best, axis)


def row_max(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Largest element of each row. x: [L, M, N] -> [L, M, 1]."""
    return _extreme(x, -1, True)


def row_min(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Smallest element of each row."""
    return _extreme(x, -1, False)


def col_max(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Largest element of each column. x: [L, M, N] -> [L, 1, N]."""
    return _extreme(x, -2, True)


def col_min(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Smallest element of each column."""
    return _extreme(x, -2, False)


def col_sum(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Sum of each column, top to bottom from +0, rounded to the element type after every addition."""
    total = np.zeros((*x.shape[:-2], x.shape[-1]), x.dtype)
    with np.errstate(all="ignore"):
        for row in range(x.shape[-2]):
            total = total + x[..., row, :]
    return total[..., None, :]
