"""Division of scalars as the scalar unit does it.

The compiler emits a signed division that drops the fraction for `//` and `/` of integers, and the remainder that goes
with it for `%`: the sign is that of the dividend (pypto: src/codegen/pto/pto_scalar_expr_codegen.cpp, arith.divsi and
arith.remsi; src/codegen/codegen_base.cpp for orchestration). Constants are folded as Python has them. Of floats, `//`
is the plain quotient (arith.divf).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Number = Any  # int, float, or an array of them with one entry for each block


def is_integral(value: Number) -> bool:
    """Whether a number, or each number of an array, is an integer."""
    return value.dtype.kind in "iub" if isinstance(value, (np.ndarray, np.generic)) else isinstance(value, int)


def quotient(a: Number, b: Number) -> Number:
    """a / b, without its fraction if both are integers. Raises ZeroDivisionError for an integer b that is zero."""
    if not (is_integral(a) and is_integral(b)):
        return a / b
    _check_divisor(b)
    down = a // b
    return down + ((down * b != a) & ((a < 0) != (b < 0)))


def remainder(a: Number, b: Number) -> Number:
    """What `quotient` leaves over: its sign is that of a. Raises ZeroDivisionError for an integer b that is zero."""
    if not (is_integral(a) and is_integral(b)):
        return np.fmod(a, b)
    return a - quotient(a, b) * b


def _check_divisor(b: Number) -> None:
    if not np.all(b):
        raise ZeroDivisionError("integer division by zero")


def smaller(a: Number, b: Number) -> Number:
    """The smaller of two numbers; NaN if one is."""
    return np.minimum(a, b)


def larger(a: Number, b: Number) -> Number:
    """The larger of two numbers; NaN if one is."""
    return np.maximum(a, b)
