"""A row or column vector combined with every row or column of a tile.

The operand order is the call's: row_expand_sub(x, v) is x - v (pto-isa: include/pto/cpu/TRowExpand*.hpp,
TColExpand*.hpp).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pto_sim.numerics import arithmetic, elementwise


def repeated(v: np.ndarray, columns: int) -> np.ndarray:
    """v so that it broadcasts over `columns`: a column [L, M, 1] as it is, a packed tile again and again.

    Column c takes element c % packed columns (pto-isa: include/pto/cpu/TRowExpandOp.hpp).
    """
    width = v.shape[-1]
    return v if width in (1, columns) else v[..., np.arange(columns) % width]


def row_by_row(operation: Callable[..., np.ndarray], formula: str) -> Callable[..., np.ndarray]:
    """A row expand operator. The vector, a column or packed, may be either operand: it is the narrower one."""

    def expanded(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
        columns = max(x.shape[-1], v.shape[-1])
        return operation(repeated(x, columns), repeated(v, columns))

    expanded.__doc__ = f"{formula}. x: [L, M, N]; v: [L, M, 1] or packed [L, M, 32 bytes]; or the other way round."
    return expanded


row_expand_add = row_by_row(elementwise.add, "x + v")
row_expand_sub = row_by_row(elementwise.sub, "x - v")
row_expand_mul = row_by_row(elementwise.mul, "x * v")
row_expand_div = row_by_row(elementwise.div, "x / v")
row_expand_max = row_by_row(elementwise.maximum, "std::max(x, v)")
row_expand_expdif = row_by_row(arithmetic.expdif, "exp(x - v)")
row_expand_min = row_by_row(elementwise.minimum, "std::min(x, v)")


def expand(target: Any, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """v copied along its unit axis to the shape of `target` ([L, M, N]; its values are not used)."""
    lanes = max(v.shape[0], 1)
    return np.broadcast_to(v, (lanes, *target.shape[1:])).copy()
