"""exp, log and 1/sqrt of one number in exact integer arithmetic, rounded once to FP32.

Slow and independent of floating point: values are integers scaled by 2**precision with a proven bound on
their error, and the precision doubles until both ends of the interval round alike. exp and log of a rational other
than 0 and 1 are irrational, so this ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from types import MappingProxyType

import numpy as np


def round_fraction(value: Fraction) -> float:
    """An exact value rounded to FP32, to nearest even; subnormals and overflow as IEEE 754 has them."""
    if value == 0:
        return 0.0
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, -126) - 23)
    # Python rounds a Fraction to the nearest integer, ties to even.
    units = round(magnitude / step)
    nearest = units * step
    result = math.inf if nearest >= Fraction(2) ** 128 else float(nearest)
    return -result if value < 0 else result


def _exp_bounds(x: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """An interval around e**x of relative width below 2**(30 - bits), |x| < 2**10: Taylor on x / 2**12, then squarings.

    Every floor division of the series is off by less than 1 unit and its tail is below the last term; the squarings
    round outwards.
    """
    scale = 1 << bits
    halvings = 12
    reduced = (x.numerator << bits) // (x.denominator << halvings)
    total = term = scale
    n = 0
    while abs(term) > 1:
        n += 1
        term = term * reduced // (n << bits)
        total += term
    low, high = total - 2 * n - 4, total + 2 * n + 4
    exponent = 0
    for _ in range(halvings):
        low, high = low * low, high * high
        exponent *= 2
        excess = max(high.bit_length() - bits - 64, 0)
        low, high, exponent = low >> excess, (high >> excess) + 1, exponent + excess
    unit = Fraction(2) ** (exponent - bits * (1 << halvings))
    return low * unit, high * unit


def _log_bounds(x: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """An interval around ln x of width below 2**(20 - bits). x > 0."""
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    mantissa = x / Fraction(2) ** exponent
    part, error = _atanh_series((mantissa - 1) / (mantissa + 1), bits)
    ln2, ln2_error = _atanh_series(Fraction(1, 3), bits)
    centre, radius = 2 * (part + exponent * ln2), 2 * (error + abs(exponent) * ln2_error)
    return Fraction(centre - radius, 1 << bits), Fraction(centre + radius, 1 << bits)


def _atanh_series(s: Fraction, bits: int) -> tuple[int, int]:
    """atanh(s) scaled by 2**bits, and a bound on its error in the last place. |s| <= 1/3."""
    power = (s.numerator << bits) // s.denominator
    square = (s.numerator**2 << bits) // s.denominator**2
    total, n = 0, 0
    while abs(power) > 1:
        total += power // (2 * n + 1)
        power = power * square >> bits
        n += 1
    return total, 3 * n + 8


def _rsqrt_bounds(x: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """An interval of width 2**-bits * 2**75 at most around 1 / sqrt(x). x > 0."""
    root = math.isqrt((x.denominator << (2 * bits + 200)) // x.numerator)
    scale = 1 << (bits + 100)
    return Fraction(root, scale), Fraction(root + 1, scale)


def _sqrt_bounds(x: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """An interval around sqrt(x), as `_rsqrt_bounds`."""
    return _rsqrt_bounds(1 / x, bits)


_BOUNDS = MappingProxyType({"exp": _exp_bounds, "log": _log_bounds, "sqrt": _sqrt_bounds, "rsqrt": _rsqrt_bounds})


def _rational(name: str, x: Fraction) -> Fraction | None:
    """The exact value where it is rational: exp 0, ln 1 and roots of squares."""
    if name in ("sqrt", "rsqrt"):
        root = Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))
        if root * root != x:
            return None
        return root if name == "sqrt" else 1 / root
    if name == "exp" and x == 0:
        return Fraction(1)
    return Fraction(0) if name == "log" and x == 1 else None


def rounded(name: str, x: Fraction, rounding: Callable[[Fraction], float]) -> float:
    """'exp', 'log', 'sqrt' or 'rsqrt' of x (positive but for exp), put through `rounding` once.

    rounding: any monotone map of exact values; it is applied to both ends of ever narrower intervals.
    """
    exact = _rational(name, x)
    if exact is not None:
        return rounding(exact)
    if name == "exp":
        x = max(min(x, Fraction(100)), Fraction(-120))
    bits = 128
    while True:
        low, high = (rounding(end) for end in _BOUNDS[name](x, bits))
        if low == high:
            return low
        bits *= 2


def exp(x: float) -> np.float32:
    """e**x rounded once to FP32. x: a finite FP32 value."""
    return np.float32(rounded("exp", Fraction(x), round_fraction))


def log(x: float) -> np.float32:
    """ln x rounded once to FP32. x: a positive finite FP32 value."""
    return np.float32(rounded("log", Fraction(x), round_fraction))


def rsqrt(x: float) -> np.float32:
    """1 / sqrt(x) rounded once to FP32. x: a positive finite FP32 value."""
    return np.float32(rounded("rsqrt", Fraction(x), round_fraction))
