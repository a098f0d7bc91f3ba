"""Further elementwise arithmetic: rectifiers, sums of three, remainders, expdif.

pto-isa: include/pto/cpu/ElementOp.h, TFMod.hpp, TColExpandOp.hpp. 16-bit floats are evaluated in FP32 and rounded
once unless a function says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pto_sim.numerics import transcendental
from pto_sim.numerics.casts import convert
from pto_sim.numerics.element_types import NAMES, is_float
from pto_sim.numerics.elementwise import (
    IntegerDivisionError,
    _apply,
    _operand,
    add,
    div,
    maximum,
    minimum,
    mul,
    sub,
)


def relu(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """std::max(x, 0): NaN stays NaN, -0 stays -0."""
    zero = np.zeros((), x.dtype)
    with np.errstate(invalid="ignore"):
        return np.where(x < zero, zero, x)


def lrelu(x: np.ndarray, slope: Any, *, profile: str = "a2a3") -> np.ndarray:
    """x > 0 ? x : x * slope, slope a number or one for each lane."""
    return prelu(x, _operand(slope, x))


def prelu(x: np.ndarray, slope: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x > 0 ? x : x * slope, slope a tile."""
    product = _apply(np.multiply, x, slope)
    with np.errstate(invalid="ignore"):
        return np.where(x > np.zeros((), x.dtype), x, product)


def addc(a: np.ndarray, b: Any, c: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a + b + c, rounded once for 16-bit floats."""
    return _apply(lambda x, y, z: x + y + z, a, _operand(b, a), _operand(c, a))


def subc(a: np.ndarray, b: Any, c: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a - b + c, rounded once for 16-bit floats."""
    return _apply(lambda x, y, z: x - y + z, a, _operand(b, a), _operand(c, a))


def rdivs(a: np.ndarray, scalar: Any, *, profile: str = "a2a3") -> np.ndarray:
    """scalar / a."""
    return div(np.broadcast_to(_operand(scalar, a), a.shape), a)


def _checked_divisor(a: np.ndarray, b: np.ndarray) -> None:
    if not b.all():
        lane, *index = np.argwhere(np.broadcast_to(b, np.broadcast_shapes(a.shape, b.shape)) == 0)[0].tolist()
        raise IntegerDivisionError(lane, tuple(index))


def fmod(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """C's truncated remainder, with the sign of a. Raises IntegerDivisionError for an integer divisor 0."""
    if not isinstance(b, np.ndarray) and b == 0:
        # Upstream's simulator leaves the destination as it was (pto-isa: include/pto/cpu/TBinSOps.hpp).
        raise IntegerDivisionError(0, (0,) * (a.ndim - 1))
    b = _operand(b, a)
    if not is_float(a.dtype):
        _checked_divisor(a, b)
        return np.fmod(a, b)
    with np.errstate(all="ignore"):
        wide = np.fmod(a.astype(np.float64), b.astype(np.float64))
        # The remainder of two numbers of a type is a number of that type, so this cast is exact.
        return wide.astype(np.float32) if a.dtype == np.float32 else convert(wide.astype(np.float32), NAMES[a.dtype])


def rem(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """The remainder with the sign of b: fmod in the element type, then b added where the signs differ."""
    part = fmod(a, b)
    b = _operand(b, a)
    zero = np.zeros((), a.dtype)
    with np.errstate(all="ignore"):
        moved = ((a >= zero) != (b >= zero)) & (part != zero)
        return np.where(moved, _apply(np.add, part, np.broadcast_to(b, part.shape)), part)


def expdif(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """exp(x - v) with the difference rounded to the element type first; v is a repeated row or column."""
    return transcendental.exp(sub(x, v), profile=profile)


def _part(
    function: Callable[..., np.ndarray],
    a: np.ndarray,
    b: np.ndarray,
    a_valid: tuple[int, ...],
    b_valid: tuple[int, ...],
) -> np.ndarray:
    a, b = np.broadcast_arrays(a, b)
    inside = []
    for valid in (a_valid, b_valid):
        mask = np.zeros(a.shape[1:], bool)
        mask[tuple(slice(0, extent) for extent in valid)] = True
        inside.append(mask)
    both = function(np.ascontiguousarray(a), np.ascontiguousarray(b))
    zero = np.zeros((), a.dtype)
    return np.where(inside[0] & inside[1], both, np.where(inside[0], a, np.where(inside[1], b, zero)))


def part_add(a: np.ndarray, b: np.ndarray, *, a_valid: Any, b_valid: Any, profile: str = "a2a3") -> np.ndarray:
    """a + b where both are valid, the valid one elsewhere, 0 where neither is."""
    return _part(add, a, b, a_valid, b_valid)


def part_mul(a: np.ndarray, b: np.ndarray, *, a_valid: Any, b_valid: Any, profile: str = "a2a3") -> np.ndarray:
    """a * b where both are valid, the valid one elsewhere, 0 where neither is."""
    return _part(mul, a, b, a_valid, b_valid)


def part_max(a: np.ndarray, b: np.ndarray, *, a_valid: Any, b_valid: Any, profile: str = "a2a3") -> np.ndarray:
    """The larger one where both are valid, the valid one elsewhere, 0 where neither is."""
    return _part(maximum, a, b, a_valid, b_valid)


def part_min(a: np.ndarray, b: np.ndarray, *, a_valid: Any, b_valid: Any, profile: str = "a2a3") -> np.ndarray:
    """The smaller one where both are valid, the valid one elsewhere, 0 where neither is."""
    return _part(minimum, a, b, a_valid, b_valid)
