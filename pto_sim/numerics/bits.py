"""Bitwise operators and shifts.

Shift counts are taken modulo 32 on the promoted 32-bit value, as x86 does for the reference simulator
(pto-isa: include/pto/cpu/ElementOp.h); >> of a signed type is arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.numerics.elementwise import _operand


def bit_and(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a & b."""
    return a & _operand(b, a)


def bit_or(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a | b."""
    return a | _operand(b, a)


def bit_xor(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a ^ b."""
    return a ^ _operand(b, a)


def bit_not(a: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """~a."""
    return ~a


def _promoted(a: np.ndarray) -> np.ndarray:
    """C's integer promotion: types narrower than 32 bits become int32."""
    return a if a.dtype.itemsize >= 4 else a.astype(np.int32)


def shift_left(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a << b, low bits kept."""
    count = _promoted(_operand(b, a)) & 31
    wide = _promoted(a)
    return (wide << count.astype(wide.dtype)).astype(a.dtype)


def shift_right(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a >> b, arithmetic for signed types."""
    count = _promoted(_operand(b, a)) & 31
    wide = _promoted(a)
    return (wide >> count.astype(wide.dtype)).astype(a.dtype)
