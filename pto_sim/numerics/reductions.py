"""Reductions over rows and columns in the reference order.

pto-isa: include/pto/cpu/TRowReduceOps.hpp, TColReduceOps.hpp.
Hardware reduces in lane trees whose order is not documented for all shapes, so both profiles use this order; the one
tree that is documented is that of col_sum with a scratch tile.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pto_sim.numerics.casts import convert
from pto_sim.numerics.element_types import BFLOAT16, STORAGE, is_float

_GROUP = 16


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_rows(x, out):  # type: ignore[no-untyped-def]
    """out[r] = ((0 + x[r, 0]) + x[r, 1]) + ... in out's type; 16 rows advance together, each in its own order."""
    rows, columns = x.shape
    sums = np.zeros(_GROUP, out.dtype)
    for first in range(0, rows - rows % _GROUP, _GROUP):
        sums[:] = 0
        for j in range(columns):
            for r in range(_GROUP):
                sums[r] += x[first + r, j]
        out[first : first + _GROUP] = sums
    for row in range(rows - rows % _GROUP, rows):
        sums[0] = 0
        for j in range(columns):
            sums[0] += x[row, j]
        out[row] = sums[0]


@njit(cache=True, nogil=True, error_model="numpy")
def _extreme_rows(x, out, greater):  # type: ignore[no-untyped-def]
    """out[r] = x[r, 0], replaced by each later element that is strictly greater (or smaller)."""
    rows, columns = x.shape
    best = np.empty(_GROUP, x.dtype)
    for first in range(0, rows, _GROUP):
        count = min(_GROUP, rows - first)
        for r in range(count):
            best[r] = x[first + r, 0]
        for j in range(1, columns):
            for r in range(count):
                item, kept = x[first + r, j], best[r]
                wins = item > kept if greater else item < kept
                best[r] = item if wins else kept
        for r in range(count):
            out[first + r] = best[r]


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_columns(x, out):  # type: ignore[no-untyped-def]
    """out[l, j] = ((0 + x[l, 0, j]) + x[l, 1, j]) + ... in FP32."""
    lanes, rows, columns = x.shape
    for lane in range(lanes):
        for j in range(columns):
            out[lane, j] = 0
        for i in range(rows):
            for j in range(columns):
                out[lane, j] += x[lane, i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _extreme_columns(x, out, greater):  # type: ignore[no-untyped-def]
    """out[l, j] = x[l, 0, j], replaced by each later element that is strictly greater (or smaller)."""
    lanes, rows, columns = x.shape
    for lane in range(lanes):
        for j in range(columns):
            out[lane, j] = x[lane, 0, j]
        for i in range(1, rows):
            for j in range(columns):
                item, kept = x[lane, i, j], out[lane, j]
                wins = item > kept if greater else item < kept
                out[lane, j] = item if wins else kept


def _native(x: np.ndarray) -> np.ndarray:
    """x contiguous, in a type that Numba handles; 16-bit floats widen exactly."""
    return np.ascontiguousarray(convert(x, "FP32") if x.dtype in (np.float16, BFLOAT16) else x)


def _back(out: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if out.dtype == dtype:
        return out
    return convert(out, "BF16" if dtype == BFLOAT16 else "FP16", "rint")


def row_sum(x: np.ndarray, *, out_dtype: str = "", profile: str = "a2a3") -> np.ndarray:
    """Sum of each row, left to right from +0 in FP32 (integers in the result's type, wrapping).

    x: [L, ..., N] -> [L, ..., 1]. 16-bit floats are widened and rounded once at the end. out_dtype: FP32 of 16-bit
    floats or INT32 of INT16, which the ISA has and the language does not.
    """
    target = STORAGE[out_dtype] if out_dtype else x.dtype
    wide = _native(x) if is_float(x.dtype) else np.ascontiguousarray(x.astype(target))
    out = np.empty((*x.shape[:-1], 1), wide.dtype)
    _sum_rows(wide.reshape(-1, x.shape[-1]), out.reshape(-1))
    return _back(out, target)


def _row_extreme(x: np.ndarray, greater: bool) -> np.ndarray:
    wide = _native(x)
    out = np.empty((*x.shape[:-1], 1), wide.dtype)
    _extreme_rows(wide.reshape(-1, x.shape[-1]), out.reshape(-1), greater)
    return _back(out, x.dtype)


def row_max(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Largest element of each row, seeded with element 0: a NaN there stays, later NaNs and equal zeros never win."""
    return _row_extreme(x, True)


def row_min(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Smallest element of each row; as `row_max`."""
    return _row_extreme(x, False)


def _column_extreme(x: np.ndarray, greater: bool) -> np.ndarray:
    wide = _native(x)
    out = np.empty((*x.shape[:-2], 1, x.shape[-1]), wide.dtype)
    _extreme_columns(wide.reshape(-1, *x.shape[-2:]), out.reshape(-1, x.shape[-1]), greater)
    return _back(out, x.dtype)


def col_max(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Largest element of each column. x: [L, M, N] -> [L, 1, N]; as `row_max`."""
    return _column_extreme(x, True)


def col_min(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Smallest element of each column; as `row_max`."""
    return _column_extreme(x, False)


def col_sum(x: np.ndarray, *, out_dtype: str = "", tree: bool = False, profile: str = "a2a3") -> np.ndarray:
    """Sum of each column, top to bottom from +0, rounded to the result's type after every addition.

    out_dtype: FP32 of 16-bit floats, which the ISA has and the language does not. tree: with a scratch tile the
    device adds neighbouring rows in pairs, level by level; upstream's simulator ignores the scratch.
    """
    if out_dtype:
        x = _native(x)
    if tree and profile != "cpu-sim":
        return _tree_sum(x)
    if x.dtype == np.float32:
        out = np.empty((*x.shape[:-2], 1, x.shape[-1]), np.float32)
        _sum_columns(np.ascontiguousarray(x).reshape(-1, *x.shape[-2:]), out.reshape(-1, x.shape[-1]))
        return out
    total = np.zeros((*x.shape[:-2], x.shape[-1]), x.dtype)
    with np.errstate(all="ignore"):
        for row in range(x.shape[-2]):
            total = _back(_native(total) + _native(x[..., row, :]), x.dtype)
    return total[..., None, :]


def _tree_sum(x: np.ndarray) -> np.ndarray:
    """Rows 2i and 2i+1 become row i until one is left; of an odd number the last is added to row 0 of its level.

    pto-isa: include/pto/npu/a2a3/TColSum.hpp, BinarySum. x: [L, M, N] -> [L, 1, N].
    """
    with np.errstate(all="ignore"):
        while x.shape[-2] > 1:
            count = x.shape[-2]
            pairs = _back(_native(x[..., 0 : count - 1 : 2, :]) + _native(x[..., 1:count:2, :]), x.dtype)
            if count % 2:
                pairs[..., 0, :] = _back(_native(pairs[..., 0, :]) + _native(x[..., count - 1, :]), x.dtype)
            x = pairs
    return x.copy()
