"""exp, log, sqrt, rsqrt and recip on all 2^32 FP32 inputs against a reference that shares no code with them.

    nice -n 10 python -m benchmarks exhaustive_fp32

The reference is the host's FP64 result, rounded once. An FP64 result is wrong by less than one unit in its last
place, so it can be rounded wrongly only next to the middle between two FP32 numbers: where four units either way
round differently, mpmath decides at 200 bits (sqrt and recip: exact rationals).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import mpmath
import numpy as np
from numba import njit

from pto_sim.numerics import transcendental

NAMES = ("exp", "log", "sqrt", "rsqrt", "recip")
EVERY = 1 << 32
BLOCK = 1 << 22
# Four units in the last place of an FP64 number, relative.
_DOUBT = 4 * 2.0**-52


class Checked(NamedTuple):
    """inputs compared, results that differ, inputs that mpmath decided, bit patterns of the first that differ."""

    inputs: int
    different: int
    hard: int
    first: tuple[int, ...]


@njit(inline="always")
def _round(y, reference, hard, i):  # type: ignore[no-untyped-def]
    reference[i] = np.float32(y)
    hard[i] = np.float32(y * (1.0 - _DOUBT)) != np.float32(y * (1.0 + _DOUBT)) and y == y


@njit(nogil=True, error_model="numpy")
def _exp(source, reference, hard):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        _round(math.exp(np.float64(source[i])), reference, hard, i)


@njit(nogil=True, error_model="numpy")
def _log(source, reference, hard):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        x = np.float64(source[i])
        _round(math.log(x) if x > 0 else (-np.inf if x == 0 else np.nan), reference, hard, i)


@njit(nogil=True, error_model="numpy")
def _sqrt(source, reference, hard):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        _round(np.sqrt(np.float64(source[i])), reference, hard, i)


@njit(nogil=True, error_model="numpy")
def _rsqrt(source, reference, hard):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        _round(1.0 / np.sqrt(np.float64(source[i])), reference, hard, i)


@njit(nogil=True, error_model="numpy")
def _recip(source, reference, hard):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        _round(1.0 / np.float64(source[i]), reference, hard, i)


_DOUBLES: dict[str, Callable[..., None]] = {"exp": _exp, "log": _log, "sqrt": _sqrt, "rsqrt": _rsqrt, "recip": _recip}


def _precise(name: str, x: float) -> Fraction:
    """The value at 200 bits; recip exactly. Far more than the 24 bits that decide, and never a middle itself."""
    if name == "recip":
        return 1 / Fraction(x)
    context = mpmath.mp.clone()
    context.prec = 200
    value: Any = context.mpf(x)
    root = context.sqrt if name in ("sqrt", "rsqrt") else getattr(context, name)
    value = 1 / root(value) if name == "rsqrt" else root(value)
    sign, mantissa, exponent, _ = value._mpf_
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def decide(name: str, x: np.float32) -> np.float32:
    """The FP32 number nearest to the precise value of a positive or negative finite x; ties to even."""
    value = _precise(name, float(x))
    near = np.float32(float(value))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    # Beyond the largest number comes 2**128 as the next step of the same size.
    exact = [Fraction(float(c)) if np.isfinite(c) else Fraction(2) ** 128 * (1 if c > 0 else -1) for c in around]
    gaps = [abs(e - value) for e in exact]
    best = [c for c, gap in zip(around, gaps, strict=True) if gap == min(gaps)]
    return next((c for c in best if not c.view(np.uint32) & 1), best[0])


def check(name: str, bits: np.ndarray) -> Checked:
    """Compare one function on FP32 inputs given as their bit patterns. bits: uint32, 1-D."""
    source = bits.view(np.float32)
    reference, hard = np.empty_like(source), np.empty(len(source), np.bool_)
    with np.errstate(all="ignore"):
        _DOUBLES[name](source, reference, hard)
        places = np.flatnonzero(hard)
        for i in places:
            reference[i] = decide(name, source[i])
        actual = getattr(transcendental, name)(source[None])[0]
        same = (actual.view(np.uint32) == reference.view(np.uint32)) | (np.isnan(actual) & np.isnan(reference))
    wrong = bits[~same]
    return Checked(len(bits), len(wrong), len(places), tuple(wrong[:4].tolist()))


def every(name: str, inputs: int = EVERY) -> tuple[Checked, float]:
    """The counts over the first `inputs` bit patterns, and the seconds they took."""
    start = time.perf_counter()
    different = hard = 0
    first: tuple[int, ...] = ()
    for low in range(0, inputs, BLOCK):
        bits = np.arange(low, min(low + BLOCK, inputs), dtype=np.int64).astype(np.uint32)
        part = check(name, bits)
        different, hard, first = different + part.different, hard + part.hard, first or part.first
    return Checked(inputs, different, hard, first), time.perf_counter() - start


def main() -> list[dict[str, Any]]:
    """Print a row for each function."""
    rows = []
    print(f"{'function':9s} {'inputs':>11s} {'differ':>7s} {'decided by mpmath':>18s} {'seconds':>8s}")
    for name in NAMES:
        checked, seconds = every(name)
        print(f"{name:9s} {checked.inputs:11d} {checked.different:7d} {checked.hard:18d} {seconds:8.1f}", flush=True)
        rows.append({"function": name, **checked._asdict(), "seconds": round(seconds, 1)})
    return rows


if __name__ == "__main__":
    main()
