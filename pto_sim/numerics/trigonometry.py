"""sin and cos: the fixed FP32 recipe that the compiler expands them to, operation by operation.

pypto: docs/en/dev/passes/12-lower_composite_ops.md. Every step is one FP32 operation with its own rounding.
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.casts import convert

_F = np.float32
_INVERSE_PI = _F(0.31830988732818603515625)
_PI_HEAD, _PI_1, _PI_2 = _F(3.140625), _F(0.0009670257568359375), _F(6.2771141529083251953125e-7)
_PI_3, _PI_4 = _F(1.21644916362129151821e-10), _F(-1.0290623200529979163e-13)
_HALF_PI_HEAD, _HALF_PI_TAIL = _F(1.57079637050628662109375), _F(-4.371139000189375e-8)
_COEFFICIENTS = (_F(2.604926501e-6), _F(-1.980894471e-4), _F(8.333049340e-3), _F(-1.666665792e-1), _F(1.0))


def _multiple(x: np.ndarray, mode: str, profile: str) -> np.ndarray:
    return convert(convert(x, "INT32", mode, profile), "FP32", "rint", profile)


def _signed_polynomial(t: np.ndarray, k: np.ndarray, profile: str) -> np.ndarray:
    half = _multiple(k * _F(0.5), "floor", profile)
    sign = (half * _F(4.0) + k * _F(-2.0)) + _F(1.0)
    square = t * t
    value = square * _COEFFICIENTS[0] + _COEFFICIENTS[1]
    for coefficient in _COEFFICIENTS[2:]:
        value = value * square + coefficient
    return sign * (t * value)


def sin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """sin(x), FP32: four-part reduction by pi, then an odd polynomial of degree 9."""
    with np.errstate(all="ignore"):
        k = _multiple(x * _INVERSE_PI, "round", profile)
        t = x
        for part in (_PI_HEAD, _PI_1, _PI_2, _PI_3, _PI_4):
            t = t - k * part
        return _signed_polynomial(t, k, profile)


def cos(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """cos(x), FP32: as `sin`, with the multiple of pi shifted by one half and pi / 2 added in two parts."""
    with np.errstate(all="ignore"):
        k = _multiple(x * _INVERSE_PI + _F(0.5), "rint", profile)
        t = (x - k * _PI_HEAD) - k * _PI_1
        t = t + _HALF_PI_HEAD
        for part in (_PI_2, _PI_3, _PI_4):
            t = t - k * part
        t = t + _HALF_PI_TAIL
        return _signed_polynomial(t, k, profile)
