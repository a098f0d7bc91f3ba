"""exp, log and 1/sqrt in FP64 by fixed polynomials, with an error bound tight enough to round to FP32.

A kernel rounds y to FP32 and reports whether rounding could depend on its own error: whether
y * (1 - bound) and y * (1 + bound) round differently. Those inputs (a few in 2**25) go to `exact_rounding`, so
the results are the exact values rounded once, whatever the host does with the last bits of y.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# Relative error bounds of the FP64 values. The polynomials' truncation is below 2**-56; the rest is rounding.
EXP_BOUND = 2.0**-50
LOG_BOUND = 2.0**-49
RSQRT_BOUND = 2.0**-51

_LOG2E = 1.4426950408889634
# ln 2 in two parts; the first has 11 low zero bits, so products with |k| < 2048 are exact.
_LN2_HI = float.fromhex("0x1.62e42fefa3800p-1")
_LN2_LO = float.fromhex("0x1.ef35793c76730p-45")
# 1.5 * 2**52: adding it leaves the nearest integer in the low bits.
_TO_INT = 6755399441055744.0
_E = tuple(1.0 / math.factorial(i) for i in range(14))
_A = tuple(2.0 / (2 * i + 1) for i in range(13))
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD


@njit(inline="always")
def _exp_value(x):  # type: ignore[no-untyped-def]
    """e**x in FP64 for x in FP64. Beyond -120 .. 100 the result is clipped there: far outside FP32."""
    x = min(max(x, -120.0), 100.0)
    shifted = x * _LOG2E + _TO_INT
    k = shifted - _TO_INT
    r = (x - k * _LN2_HI) - k * _LN2_LO
    p = _E[13]
    p = p * r + _E[12]
    p = p * r + _E[11]
    p = p * r + _E[10]
    p = p * r + _E[9]
    p = p * r + _E[8]
    p = p * r + _E[7]
    p = p * r + _E[6]
    p = p * r + _E[5]
    p = p * r + _E[4]
    p = p * r + _E[3]
    p = p * r + _E[2]
    p = p * r + 1.0
    p = p * r + 1.0
    power = (np.float64(shifted).view(np.int64) << np.int64(52)) + np.int64(0x3FF0000000000000)
    return p * np.int64(power).view(np.float64)


@njit(inline="always")
def _log_value(x):  # type: ignore[no-untyped-def]
    """ln x in FP64 for a positive normal x in FP64."""
    bits = np.float64(x).view(np.int64)
    k = (bits - np.int64(_SQRT_HALF_BITS)) >> np.int64(52)
    f = np.int64(bits - (k << np.int64(52))).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = _A[12]
    p = p * z + _A[11]
    p = p * z + _A[10]
    p = p * z + _A[9]
    p = p * z + _A[8]
    p = p * z + _A[7]
    p = p * z + _A[6]
    p = p * z + _A[5]
    p = p * z + _A[4]
    p = p * z + _A[3]
    p = p * z + _A[2]
    p = p * z + _A[1]
    fk = np.float64(k)
    return fk * _LN2_HI + (2.0 * s + (s * z * p + fk * _LN2_LO))


@njit(cache=True, nogil=True, error_model="numpy")
def exp_fp64(source, target):  # type: ignore[no-untyped-def]
    """target = e**source within EXP_BOUND; NaN stays NaN. source: FP32 values, target: float64, 1-D."""
    for i in range(len(source)):
        x = np.float64(source[i])
        target[i] = _exp_value(x) if x == x else x


@njit(cache=True, nogil=True, error_model="numpy")
def exp_fp32(source, target):  # type: ignore[no-untyped-def]
    """target = e**source rounded to FP32. Returns the number of results that the bound leaves open."""
    doubtful = np.int64(0)
    for i in range(len(source)):
        x = np.float64(source[i])
        y = _exp_value(x)
        low, high = np.float32(y * (1.0 - EXP_BOUND)), np.float32(y * (1.0 + EXP_BOUND))
        doubtful += np.int64(low != high and x == x)
        target[i] = np.float32(y) if x == x else source[i]
    return doubtful


@njit(cache=True, nogil=True, error_model="numpy")
def exp_doubtful(source):  # type: ignore[no-untyped-def]
    """Mask of the elements whose FP32 rounding the bound leaves open."""
    mask = np.zeros(len(source), np.bool_)
    for i in range(len(source)):
        x = np.float64(source[i])
        y = _exp_value(x)
        mask[i] = x == x and np.float32(y * (1.0 - EXP_BOUND)) != np.float32(y * (1.0 + EXP_BOUND))
    return mask


@njit(inline="always")
def _log_special(x, y):  # type: ignore[no-untyped-def]
    if x == 0.0:
        return -np.inf
    if x < 0.0:
        return np.nan
    return y if x < np.inf else x


@njit(cache=True, nogil=True, error_model="numpy")
def log_fp64(source, target):  # type: ignore[no-untyped-def]
    """target = ln source within LOG_BOUND; ln 0 = -inf, ln of a negative = NaN. As `exp_fp64`."""
    for i in range(len(source)):
        x = np.float64(source[i])
        target[i] = _log_special(x, _log_value(x))


@njit(cache=True, nogil=True, error_model="numpy")
def log_fp32(source, target):  # type: ignore[no-untyped-def]
    """target = ln source rounded to FP32. Returns the number of results that the bound leaves open."""
    doubtful = np.int64(0)
    for i in range(len(source)):
        x = np.float64(source[i])
        y = _log_value(x)
        low, high = np.float32(y * (1.0 - LOG_BOUND)), np.float32(y * (1.0 + LOG_BOUND))
        doubtful += np.int64(low != high and x > 0.0)
        target[i] = np.float32(_log_special(x, y))
    return doubtful


@njit(cache=True, nogil=True, error_model="numpy")
def log_doubtful(source):  # type: ignore[no-untyped-def]
    """Mask of the elements whose FP32 rounding the bound leaves open."""
    mask = np.zeros(len(source), np.bool_)
    for i in range(len(source)):
        x = np.float64(source[i])
        y = _log_value(x)
        mask[i] = x > 0.0 and x < np.inf and np.float32(y * (1.0 - LOG_BOUND)) != np.float32(y * (1.0 + LOG_BOUND))
    return mask


@njit(cache=True, nogil=True, error_model="numpy")
def rsqrt_fp64(source, target):  # type: ignore[no-untyped-def]
    """target = 1 / sqrt(source) within RSQRT_BOUND; as `exp_fp64`."""
    for i in range(len(source)):
        target[i] = 1.0 / np.sqrt(np.float64(source[i]))


@njit(cache=True, nogil=True, error_model="numpy")
def rsqrt_fp32(source, target):  # type: ignore[no-untyped-def]
    """target = 1 / sqrt(source) rounded to FP32. Returns the number of results that the bound leaves open."""
    doubtful = np.int64(0)
    for i in range(len(source)):
        y = 1.0 / np.sqrt(np.float64(source[i]))
        low, high = np.float32(y * (1.0 - RSQRT_BOUND)), np.float32(y * (1.0 + RSQRT_BOUND))
        doubtful += np.int64(low != high and y == y)
        target[i] = np.float32(y)
    return doubtful


@njit(cache=True, nogil=True, error_model="numpy")
def rsqrt_doubtful(source):  # type: ignore[no-untyped-def]
    """Mask of the elements whose FP32 rounding the bound leaves open."""
    mask = np.zeros(len(source), np.bool_)
    for i in range(len(source)):
        y = 1.0 / np.sqrt(np.float64(source[i]))
        mask[i] = y == y and np.float32(y * (1.0 - RSQRT_BOUND)) != np.float32(y * (1.0 + RSQRT_BOUND))
    return mask
