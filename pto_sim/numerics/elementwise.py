"""Elementwise arithmetic.

16-bit floats are computed in FP32 and rounded once to nearest even; integers wrap; maximum and minimum are
C++ std::max and std::min, so the first operand wins for equal values and for NaN in either comparison
(pto-isa: include/pto/cpu/ElementOp.h, TMax.hpp, TMin.hpp, TAbs.hpp).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import vectorize

from pto_sim.numerics.casts import convert
from pto_sim.numerics.element_types import BFLOAT16, NAMES, align_lanes, is_float, scalar_of

_FP16 = np.dtype(np.float16)


# NumPy takes the first loop whose types hold the operands, so narrow types come before wide ones.
_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32")
_PAIRS = [f"{t}({t}, {t})" for t in _TYPES]


@vectorize(_PAIRS, cache=True)
def _std_max(a, b):  # type: ignore[no-untyped-def]
    return b if a < b else a


@vectorize(_PAIRS, cache=True)
def _std_min(a, b):  # type: ignore[no-untyped-def]
    return b if b < a else a


@vectorize([f"{t}({t})" for t in _TYPES], cache=True)
def _std_abs(x):  # type: ignore[no-untyped-def]
    return -x if x < 0 else x


def _operand(b: Any, a: np.ndarray) -> np.ndarray:
    """The second operand as an array of a's dtype; scalars are converted."""
    if isinstance(b, np.ndarray) and b.dtype == a.dtype and b.ndim == a.ndim:
        return b
    return align_lanes(scalar_of(b, a.dtype), a.ndim)


def _apply(function: Callable[..., np.ndarray], *operands: np.ndarray) -> np.ndarray:
    """function on operands of one dtype; 16-bit floats go through FP32 and back to nearest even."""
    dtype = operands[0].dtype
    with np.errstate(all="ignore"):
        if dtype != BFLOAT16 and dtype != _FP16:
            return function(*operands)
        return convert(function(*[convert(x, "FP32") for x in operands]), NAMES[dtype], "rint")


def add(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a + b. a: [L, *shape]; b: [L, *shape], or broadcastable, or a scalar (a number, or an array [L])."""
    return _apply(np.add, a, _operand(b, a))


def sub(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a - b."""
    return _apply(np.subtract, a, _operand(b, a))


def mul(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a * b."""
    return _apply(np.multiply, a, _operand(b, a))


class IntegerDivisionError(ZeroDivisionError):
    """Integer division by zero: undefined upstream (it traps). `lane` and `index` say where it is first."""

    def __init__(self, lane: int, index: tuple[int, ...]) -> None:
        super().__init__(f"integer division by zero at element {list(index)} of lane {lane}")
        self.lane, self.index = lane, index


def div(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a / b: IEEE for floats, truncating for integers. Raises IntegerDivisionError where an integer divisor is 0."""
    b = _operand(b, a)
    if is_float(a.dtype):
        return _apply(np.divide, a, b)
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
    return _apply(_std_max, a, _operand(b, a))


def minimum(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """std::min(a, b) = b < a ? b : a."""
    return _apply(_std_min, a, _operand(b, a))


def neg(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """-x; flips the sign of zeros, wraps the smallest integer."""
    return _apply(np.negative, x)


def absolute(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x < 0 ? -x : x, so -0 stays -0; the smallest integer wraps."""
    return x.copy() if x.dtype.kind == "u" else _apply(_std_abs, x).astype(x.dtype, copy=False)
