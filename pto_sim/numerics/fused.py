"""Fused instructions of the ISA that no operator of the language emits.

pto-isa: include/pto/cpu/ElementOp.h, TBinSOps.hpp (TAXPY). Whether a 16-bit product is rounded before the sum
differs between them; FP32 is two roundings everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.numerics.elementwise import _apply, _operand, add, mul, sub


def rectified(x: np.ndarray) -> np.ndarray:
    """x > 0 ? x : 0, the rectifier that is fused into other instructions: NaN and -0 become +0."""
    zero = np.zeros((), x.dtype)
    with np.errstate(invalid="ignore"):
        return np.where(x > zero, x, zero)


def muladddst(dst: np.ndarray, a: np.ndarray, b: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """a * b rounded to the element type, then dst added. All operands [L, *shape] of one type."""
    return add(mul(a, b), dst)


def fusedmuladd(dst: np.ndarray, a: np.ndarray, b: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """a * dst + b; a 16-bit result is rounded once."""
    return _apply(lambda x, y, z: x * y + z, a, dst, b)


def fusedmuladdrelu(dst: np.ndarray, a: np.ndarray, b: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """The rectified a * dst + b, the product and the sum rounded to the element type."""
    return rectified(add(mul(a, dst), b))


def subrelu(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    """The rectified a - b."""
    return rectified(sub(a, b))


def axpy(dst: np.ndarray, x: np.ndarray, scalar: Any, *, profile: str = "a2a3") -> np.ndarray:
    """dst + x * scalar. The FP16 product is rounded first; BF16 is rounded once, at the end."""
    factor = np.broadcast_to(_operand(scalar, x), x.shape)
    if x.dtype == np.float16:
        return add(mul(x, factor), dst)
    return _apply(lambda d, v, s: d + v * s, dst, x, factor)
