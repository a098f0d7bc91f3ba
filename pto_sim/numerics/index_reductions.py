"""Products and positions of extremes along rows and columns.

pto-isa: include/pto/cpu/TRowProd.hpp, TColProd.hpp, TReduceIdx.hpp. A product is rounded to the element type after
every step; positions are of the first extreme, and a NaN at position 0 stays.
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.elementwise import mul


def _product(x: np.ndarray, axis: int) -> np.ndarray:
    total = np.ones_like(np.take(x, [0], axis))
    with np.errstate(all="ignore"):
        for position in range(x.shape[axis]):
            total = mul(total, np.ascontiguousarray(np.take(x, [position], axis)))
    return total


def row_prod(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Product of each row, left to right from 1."""
    return _product(x, x.ndim - 1)


def col_prod(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Product of each column, top to bottom from 1."""
    return _product(x, x.ndim - 2)


def _first_extreme(x: np.ndarray, axis: int, largest: bool) -> np.ndarray:
    best = np.take(x, [0], axis)
    where = np.zeros(best.shape, np.int32)
    with np.errstate(all="ignore"):
        for position in range(1, x.shape[axis]):
            item = np.take(x, [position], axis)
            wins = item > best if largest else item < best
            best = np.where(wins, item, best)
            where[wins] = position
    return where


def row_argmax(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Column of the first largest element of each row."""
    return _first_extreme(x, x.ndim - 1, True)


def row_argmin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Column of the first smallest element of each row."""
    return _first_extreme(x, x.ndim - 1, False)


def col_argmax(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Row of the first largest element of each column."""
    return _first_extreme(x, x.ndim - 2, True)


def col_argmin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Row of the first smallest element of each column."""
    return _first_extreme(x, x.ndim - 2, False)
