"""Elementwise arithmetic.

16-bit floats are computed in FP32 and rounded once to nearest even; integers wrap; maximum and minimum are
C++ std::max and std::min, so the first operand wins for equal values and for NaN in either comparison
(pto-isa: include/pto/cpu/ElementOp.h, TMax.hpp, TMin.hpp, TAbs.hpp).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.numerics.element_types import align_lanes, is_float, scalar_of


def _operand(b: Any, a: np.ndarray) -> np.ndarray:
    """The second operand as an array of a's dtype; scalars are converted."""
    if isinstance(b, np.ndarray) and b.dtype == a.dtype and b.ndim == a.ndim:
        return b
    return align_lanes(scalar_of(b, a.dtype), a.ndim)


def add(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a + b. a: [L, *shape]; b: [L, *shape], or broadcastable, or a scalar."""
    with np.errstate(all="ignore"):
        return np.add(a, _operand(b, a))


def sub(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a - b."""
    with np.errstate(all="ignore"):
        return np.subtract(a, _operand(b, a))


def mul(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a * b."""
    with np.errstate(all="ignore"):
        return np.multiply(a, _operand(b, a))


class IntegerDivisionError(ZeroDivisionError):
    """Integer division by zero: undefined upstream (it traps). `lane` and `index` say where it is first."""

    def __init__(self, lane: int, index: tuple[int, ...]) -> None:
        super().__init__(f"integer division by zero at element {list(index)} of lane {lane}")
        self.lane, self.index = lane, index


def div(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a / b: IEEE for floats, truncating for integers. Raises IntegerDivisionError where an integer divisor is 0."""
    b = _operand(b, a)
    if is_float(a.dtype):
        with np.errstate(all="ignore"):
            return np.divide(a, b)
    if not b.all():
        lane, *index = np.argwhere(np.broadcast_to(b, np.broadcast_shapes(a.shape, b.shape)) == 0)[0].tolist()
        raise IntegerDivisionError(lane, tuple(index))
    with np.errstate(all="ignore"):
        quotient = np.floor_divide(a, b)
        # Floor and truncation differ where the signs differ and the division is not exact.
        inexact = (quotient * b != a) & ((a < 0) != (b < 0))
        return (quotient + inexact.astype(a.dtype)).astype(a.dtype)


def maximum(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """std::max(a, b) = a < b ? b : a."""
    b = _operand(b, a)
    return np.where(a < b, b, a)


def minimum(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """std::min(a, b) = b < a ? b : a."""
    b = _operand(b, a)
    return np.where(b < a, b, a)


def neg(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """-x; flips the sign of zeros, wraps the smallest integer."""
    return np.negative(x)


def absolute(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x < 0 ? -x : x, so -0 stays -0."""
    return np.where(x < 0, np.negative(x), x) if x.dtype.kind != "u" else x.copy()
