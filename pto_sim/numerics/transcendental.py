"""exp, log, sqrt, rsqrt and recip: the exact value rounded once to the element type.

Upstream computes in double and casts once; exp on FP16 goes through FP32, so it rounds twice (pto-isa:
include/pto/cpu/TExp.hpp, TLog.hpp, TSqrt.hpp, TRsqrt.hpp, TRecip.hpp). Square roots and divisions are IEEE
operations of the host; exp, log and rsqrt use our own polynomials, so no host library decides a bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pto_sim.numerics import exact_rounding
from pto_sim.numerics import transcendental_kernels as kernels
from pto_sim.numerics.casts import convert, narrow_double


def _rounded_once(
    x: np.ndarray,
    kernel: Callable[[np.ndarray, np.ndarray], int],
    doubtful: Callable[[np.ndarray], np.ndarray],
    exact: Callable[[float], np.float32],
) -> np.ndarray:
    """A function of FP32 values, correctly rounded: the kernel, and the exact path where its bound leaves doubt."""
    source = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(x.shape, np.float32)
    flat = out.reshape(-1)
    if kernel(source, flat):
        for i in np.flatnonzero(doubtful(source)):
            flat[i] = exact(float(source[i]))
    return out


def _through_double(x: np.ndarray, kernel: Callable[[np.ndarray, np.ndarray], None]) -> np.ndarray:
    """A function of 16-bit floats: FP64, then one rounding to x's type."""
    wide = np.ascontiguousarray(convert(x, "FP32"))
    out = np.empty(x.shape, np.float64)
    kernel(wide.reshape(-1), out.reshape(-1))
    return narrow_double(out, x.dtype)


def exp(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """e**x. x: [L, *shape] of a float type; same shape and type."""
    if x.dtype == np.float32:
        return _rounded_once(x, kernels.exp_fp32, kernels.exp_doubtful, exact_rounding.exp)
    if x.dtype == np.float16:
        return convert(exp(convert(x, "FP32")), "FP16", "rint")
    return _through_double(x, kernels.exp_fp64)


def log(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Natural logarithm; ln 0 = -inf, ln of a negative = NaN."""
    if x.dtype == np.float32:
        return _rounded_once(x, kernels.log_fp32, kernels.log_doubtful, exact_rounding.log)
    return _through_double(x, kernels.log_fp64)


def sqrt(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Square root, IEEE. 16-bit types go through FP32, which is still a single rounding (24 >= 2 * 11 + 2)."""
    with np.errstate(all="ignore"):
        if x.dtype == np.float32:
            return np.sqrt(x)
        return _narrowed(np.sqrt(convert(x, "FP32")), x.dtype)


def rsqrt(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """1 / sqrt(x); x = 0 gives an infinity of its sign, a negative x gives NaN."""
    if x.dtype == np.float32:
        return _rounded_once(x, kernels.rsqrt_fp32, kernels.rsqrt_doubtful, exact_rounding.rsqrt)
    return _through_double(x, kernels.rsqrt_fp64)


def recip(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """1 / x in the element type: one IEEE division; 16-bit types through FP32."""
    with np.errstate(all="ignore"):
        if x.dtype == np.float32:
            return np.divide(np.float32(1), x)
        return _narrowed(np.divide(np.float32(1), convert(x, "FP32")), x.dtype)


def _narrowed(wide: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return convert(wide, "FP16" if dtype == np.float16 else "BF16", "rint")
