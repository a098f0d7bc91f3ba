"""Elementwise arithmetic.

16-bit floats are computed in FP32 and rounded once to nearest even; integers wrap; maximum and minimum are
C++ std::max and std::min, so the first operand wins for equal values and for NaN in either comparison
(pto-isa: include/pto/cpu/ElementOp.h, TMax.hpp, TMin.hpp, TAbs.hpp).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from pto_sim.numerics.casts import convert
from pto_sim.numerics.element_types import BFLOAT16, NAMES, align_lanes, is_float, scalar_of

_FP16 = np.dtype(np.float16)


@njit(inline="always")
def _pick(a, b, largest):  # type: ignore[no-untyped-def]
    """std::max(a, b) or std::min(a, b)."""
    wins = a < b if largest else b < a
    return b if wins else a


@njit(cache=True, nogil=True, error_model="numpy")
def _pick_all(a, a_steps, b, b_steps, out, sizes, largest):  # type: ignore[no-untyped-def]
    """out[l, m, n] = pick(a, b) over three axes; a, b, out: 1-D contiguous, steps 0 along broadcast axes."""
    lanes, rows, columns = sizes
    # Unsigned indices spare the wrap-around test of negative ones, so the loops become vector code.
    at, count = np.uintp(0), np.uintp(columns)
    for lane in range(lanes):
        for row in range(rows):
            a_start = np.uintp(lane * a_steps[0] + row * a_steps[1])
            b_start = np.uintp(lane * b_steps[0] + row * b_steps[1])
            if a_steps[2] == 1 and b_steps[2] == 1:
                for n in range(count):
                    out[at + n] = _pick(a[a_start + n], b[b_start + n], largest)
            elif a_steps[2] == 1:
                fixed = b[b_start]
                for n in range(count):
                    out[at + n] = _pick(a[a_start + n], fixed, largest)
            else:
                a_step, b_step = np.uintp(a_steps[2]), np.uintp(b_steps[2])
                for n in range(count):
                    out[at + n] = _pick(a[a_start + n * a_step], b[b_start + n * b_step], largest)
            at += count


@njit(cache=True, nogil=True, error_model="numpy")
def _abs_all(x, out):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        out[i] = -x[i] if x[i] < 0 else x[i]


def _three_axes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """[L, *middle, N] as (L, product of middle, N)."""
    if len(shape) == 3:
        return shape
    if len(shape) < 2:
        return (1, 1, shape[0] if shape else 1)
    return (shape[0], math.prod(shape[1:-1]), shape[-1])


def _steps(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    lanes, rows, columns = shape
    return (rows * columns if lanes > 1 else 0, columns if rows > 1 else 0, 1 if columns > 1 else 0)


def _extreme(a: np.ndarray, b: np.ndarray, largest: bool) -> np.ndarray:
    """Elementwise std::max or std::min of arrays that broadcast."""
    if a.shape == b.shape:
        shape = a.shape
        sizes = (1, 1, a.size)
        a_steps = b_steps = (0, 0, 1)
    else:
        shape = np.broadcast_shapes(a.shape, b.shape)
        if len(shape) > 3:
            # Partly broadcast middle axes cannot be merged, so the operands are spelled out.
            return _extreme(np.broadcast_to(a, shape), np.broadcast_to(b, shape), largest)
        b_three = b.shape if b.ndim == len(shape) else (1,) * (len(shape) - b.ndim) + b.shape
        sizes, a_steps, b_steps = _three_axes(shape), _steps(_three_axes(a.shape)), _steps(_three_axes(b_three))
    out = np.empty(shape, a.dtype)
    flat_a, flat_b = np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1)
    _pick_all(flat_a, a_steps, flat_b, b_steps, out.reshape(-1), sizes, largest)
    return out


def _largest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _extreme(a, b, True)


def _smallest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _extreme(a, b, False)


def _magnitude(x: np.ndarray) -> np.ndarray:
    out = np.empty(x.shape, x.dtype)
    _abs_all(np.ascontiguousarray(x).reshape(-1), out.reshape(-1))
    return out


def _operand(b: Any, a: np.ndarray) -> np.ndarray:
    """The second operand as an array of a's dtype; scalars are converted."""
    if isinstance(b, np.ndarray) and b.dtype == a.dtype and b.ndim == a.ndim:
        return b
    return align_lanes(scalar_of(b, a.dtype), a.ndim)


def _apply(function: Callable[..., np.ndarray], *operands: np.ndarray) -> np.ndarray:
    """function on operands of one dtype; 16-bit floats go through FP32 and back to nearest even."""
    with np.errstate(all="ignore"):
        return _unraised(function, *operands)


def _unraised(function: Callable[..., np.ndarray], *operands: np.ndarray) -> np.ndarray:
    """`_apply` for functions that choose or negate: they raise no floating-point condition that NumPy would report."""
    dtype = operands[0].dtype
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
    return _unraised(_largest, a, _operand(b, a))


def minimum(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """std::min(a, b) = b < a ? b : a."""
    return _unraised(_smallest, a, _operand(b, a))


def neg(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """-x; flips the sign of zeros, wraps the smallest integer."""
    return _apply(np.negative, x)


def absolute(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x < 0 ? -x : x, so -0 stays -0; the smallest integer wraps."""
    return x.copy() if x.dtype.kind == "u" else _unraised(_magnitude, x)
