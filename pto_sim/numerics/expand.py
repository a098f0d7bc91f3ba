"""A row or column vector combined with every row or column of a tile.

The operand order is the call's: row_expand_sub(x, v) is x - v (pto-isa: include/pto/cpu/TRowExpand*.hpp,
TColExpand*.hpp).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.numerics import elementwise


def row_expand_add(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x + v. x: [L, M, N]; v: [L, M, 1]."""
    return elementwise.add(x, v)


def row_expand_sub(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x - v."""
    return elementwise.sub(x, v)


def row_expand_mul(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x * v."""
    return elementwise.mul(x, v)


def row_expand_div(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x / v."""
    return elementwise.div(x, v)


def row_expand_max(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """std::max(x, v)."""
    return elementwise.maximum(x, v)


def row_expand_min(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """std::min(x, v)."""
    return elementwise.minimum(x, v)


def expand(target: Any, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """v copied along its unit axis to the shape of `target` ([L, M, N]; its values are not used)."""
    lanes = max(v.shape[0], 1)
    return np.broadcast_to(v, (lanes, *target.shape[1:])).copy()
