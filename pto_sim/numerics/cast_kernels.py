"""Bit-level conversions: FP32 to narrower floats and floats to integers, under every rounding mode.

Mode codes as pypto numbers them (pypto: python/pypto/ir/utils.py). All loops run over 1-D arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NONE, RINT, ROUND, FLOOR, CEIL, TRUNC, ODD = range(7)
# pto-isa's CPU simulator reads `odd` as nearest with ties to odd; the hardware's is round to odd.
NEAREST_ODD = 7

# How an out-of-range or NaN input becomes an integer.
SATURATE, WRAP32, WRAP64 = range(3)


@njit(inline="always")
def _step(base, rest, half, negative, mode):  # type: ignore[no-untyped-def]
    """The magnitude `base` (truncated), rounded: rest is what was cut off, half its midpoint; all uint32."""
    one, zero = np.uint32(1), np.uint32(0)
    if mode in (RINT, NONE):
        return base + (one if rest > half or (rest == half and base & one) else zero)
    if mode == ROUND:
        return base + (one if rest >= half else zero)
    if mode == FLOOR:
        return base + (one if rest != zero and negative else zero)
    if mode == CEIL:
        return base + (one if rest != zero and not negative else zero)
    if mode == ODD:
        return base | (one if rest != zero else zero)
    return base


@njit(cache=True, nogil=True, error_model="numpy")
def bf16_nearest(source, target):  # type: ignore[no-untyped-def]
    """uint32 bits of FP32 -> uint16 bits of BF16, to nearest even; NaN becomes a quiet NaN."""
    for i in range(len(source)):
        bits = source[i]
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
        target[i] = np.uint16(quiet if (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000) else rounded)


@njit(cache=True, nogil=True, error_model="numpy")
def bf16_widen(source, target):  # type: ignore[no-untyped-def]
    """uint16 bits of BF16 -> uint32 bits of FP32, exact."""
    for i in range(len(source)):
        target[i] = np.uint32(source[i]) << np.uint32(16)


@njit(cache=True, nogil=True, error_model="numpy")
def bf16_by_mode(source, target, mode):  # type: ignore[no-untyped-def]
    """uint32 bits of FP32 -> uint16 bits of BF16 under `mode`; finite values may round up to infinity."""
    for i in range(len(source)):
        bits = source[i]
        base, rest = bits >> np.uint32(16), bits & np.uint32(0xFFFF)
        if bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000):
            target[i] = np.uint16(base | np.uint32(0x40))
        else:
            target[i] = np.uint16(_step(base, rest, np.uint32(0x8000), bits >> np.uint32(31) != 0, mode))


@njit(cache=True, nogil=True, error_model="numpy")
def f16_by_mode(source, target, mode):  # type: ignore[no-untyped-def]
    """uint32 bits of FP32 -> uint16 bits of FP16 under `mode`; magnitudes of 65536 and more become infinity."""
    for i in range(len(source)):
        bits = source[i]
        sign = (bits >> np.uint32(16)) & np.uint32(0x8000)
        magnitude = bits & np.uint32(0x7FFFFFFF)
        if magnitude > np.uint32(0x7F800000):
            target[i] = np.uint16(sign | np.uint32(0x7E00) | ((magnitude >> np.uint32(13)) & np.uint32(0x3FF)))
            continue
        if magnitude >= np.uint32(0x47800000):
            target[i] = np.uint16(sign | np.uint32(0x7C00))
            continue
        exponent = magnitude >> np.uint32(23)
        if exponent >= 113:
            scaled, shift = magnitude - np.uint32(112 << 23), np.uint32(13)
        else:
            # Subnormal FP16: the significand, aligned to units of 2**-24. FP32 subnormals are far below a half unit.
            fraction = magnitude & np.uint32(0x7FFFFF)
            scaled = fraction | np.uint32(0x800000) if exponent > 0 else fraction
            distance = 126 - np.int64(exponent)
            shift = np.uint32(distance if distance < 31 else 31)
        base = scaled >> shift
        rest = scaled & ((np.uint32(1) << shift) - np.uint32(1))
        half = np.uint32(1) << (shift - np.uint32(1))
        target[i] = np.uint16(sign | _step(base, rest, half, sign != 0, mode))


@njit(inline="always")
def _round_integral(v, mode):  # type: ignore[no-untyped-def]
    """A double rounded to an integral double; infinities and NaN stay."""
    if mode == RINT:
        return np.rint(v)
    if mode == FLOOR:
        return np.floor(v)
    if mode == CEIL:
        return np.ceil(v)
    whole = np.trunc(v)
    if mode in (NONE, TRUNC):
        return whole
    rest = abs(v - whole)
    away = whole + (1.0 if v > 0.0 else -1.0)
    if mode == ROUND:
        return away if rest >= 0.5 else whole
    odd = away if np.trunc(whole * 0.5) * 2.0 == whole else whole
    if mode == ODD:
        return odd if rest > 0.0 else whole
    if rest == 0.5:
        return odd
    return away if rest > 0.5 else whole


@njit(cache=True, nogil=True, error_model="numpy")
def float_to_int(source, target, mode, overflow, low, high):  # type: ignore[no-untyped-def]
    """FP32 values -> integers of target's type.

    SATURATE: to low .. high, NaN to 0. WRAP32: through int32, where NaN and values outside it are INT32_MIN; then
    low bits. WRAP64: the same through int64.
    """
    if overflow == SATURATE:
        least, most = np.float64(low), np.float64(high)
        for i in range(len(source)):
            v = np.float64(source[i])
            inside = least < v < most
            result = np.int64(_round_integral(v if inside else 0.0, mode))
            target[i] = result if inside else (high if v >= most else (low if v <= least else np.int64(0)))
        return
    limit = 2147483648.0 if overflow == WRAP32 else 9223372036854775808.0
    lowest = np.int64(-2147483648) if overflow == WRAP32 else np.int64(-9223372036854775808)
    for i in range(len(source)):
        v = _round_integral(np.float64(source[i]), mode)
        inside = -limit <= v < limit
        result = np.int64(v if inside else 0.0)
        target[i] = result if inside else lowest
