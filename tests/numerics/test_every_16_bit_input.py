"""Every 16-bit input of every unary operator and every cast from a 16-bit type, in both profiles.

The reference is FP64 arithmetic of NumPy and the host's FP64 functions, rounded by `rounded` below; where an FP64
result lies next to the middle between two numbers of the type, mpmath decides. It shares no code with the project.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from pto_sim.numerics.casts import MODES, convert
from pto_sim.numerics.element_types import FLOATS, INTS, STORAGE
from pto_sim.numerics.optable import OP_TABLE
from tests.numerics.special_values import assert_same_bits

EVERY = np.arange(1 << 16, dtype=np.uint16)
# Significand bits with the hidden one, least normal exponent, overflow exponent.
_FORMATS = {"FP32": (24, -126, 128), "FP16": (11, -14, 16), "BF16": (8, -126, 128)}
Array = np.ndarray


def _away(v: Array) -> Array:
    return np.trunc(v + np.copysign(0.5, v))


def _to_odd(v: Array) -> Array:
    low = np.floor(v)
    return np.where(low == v, v, np.where(low % 2 == 1, low, low + 1))


def _nearest_odd(v: Array) -> Array:
    low = np.floor(v)
    return np.where(v - low == 0.5, np.where(low % 2 == 1, low, low + 1), np.rint(v))


_ROUND: dict[str, Callable[[Array], Array]] = {
    "none": np.rint, "rint": np.rint, "round": _away, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "odd": _to_odd,
}  # fmt: skip


def rounded(values: Array, target: str, mode: str = "rint") -> Array:
    """FP64 values in a float type: scaled to integers of its last place, which FP64 does exactly, and rounded there."""
    precision, least, top = _FORMATS[target]
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(values)
        step = np.maximum(exponent - 1, least) - (precision - 1)
        units = _ROUND[mode](np.ldexp(values, -step))
        result = np.copysign(np.ldexp(units, step), values)
        # The project decides overflow at the bound: 2 ** top and beyond is infinite in every mode.
        result = np.where(np.abs(values) >= 2.0**top, np.copysign(np.inf, values), result)
        result = np.where(np.abs(result) >= 2.0**top, np.copysign(np.inf, values), result)
        result = np.where(np.isfinite(values) & (values != 0), result, values)
        return result.astype(np.float32).astype(STORAGE[target])


def _wide(source: str) -> tuple[Array, Array]:
    """All inputs of a 16-bit type, and the same as FP64."""
    x = EVERY.view(STORAGE[source])
    with np.errstate(invalid="ignore"):  # signalling NaN
        return x, x.astype(np.float32).astype(np.float64) if source in FLOATS else x.astype(np.float64)


def _integral(wide: Array, source: str, target: str, mode: str, profile: str) -> Array:
    info = np.iinfo(STORAGE[target])
    rounding: dict[str, Callable[[Array], Array]] = {
        **_ROUND, "none": np.trunc, "odd": _to_odd if profile == "a2a3" else _nearest_odd
    }  # fmt: skip
    with np.errstate(all="ignore"):
        whole = rounding[mode](wide)
    low, high = float(info.min), float(info.max) + 1  # as FP64: of INT64 the largest integer rounds up by itself
    high = 2.0**63 if info.bits == 64 else high
    if profile == "a2a3" and (source, target) not in (("FP16", "UINT8"), ("FP16", "INT8"), ("FP16", "INT16")):
        inside = (whole >= low) & (whole < high)
        made = np.where(inside, whole, 0.0).astype(np.int64)
        made[whole >= high] = info.max
        made[whole < low] = info.min
        return made.astype(STORAGE[target])
    half = 63 if info.bits == 64 or target in ("UINT8", "UINT32") else 31
    inside = (whole >= -(2.0**half)) & (whole < 2.0**half)
    made = np.where(inside, whole, 0.0).astype(np.int64)
    made[~inside] = -(1 << half)
    kept = made.view(np.uint64) & np.uint64((1 << info.bits) - 1)
    return kept.astype(np.dtype(f"u{info.bits // 8}")).view(STORAGE[target])


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize("source", ["FP16", "BF16"])
def test_casts_between_floats(source: str, profile: str) -> None:
    x, wide = _wide(source)
    for target in FLOATS:
        if target == source:
            continue
        for mode in MODES:
            expected = rounded(wide, target, "rint" if profile == "cpu-sim" else mode)
            assert_same_bits(convert(x, target, mode, profile), expected, x, what=f"{source} {target} {mode}")


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize("source", ["FP16", "BF16"])
def test_casts_to_integers(source: str, profile: str) -> None:
    x, wide = _wide(source)
    for target in INTS:
        for mode in MODES:
            expected = _integral(wide, source, target, mode, profile)
            assert_same_bits(convert(x, target, mode, profile), expected, x, what=f"{source} {target} {mode}")


@pytest.mark.parametrize("source", ["INT16", "UINT16"])
def test_casts_from_integers(source: str) -> None:
    """Exact, rounded to nearest even, or low bits, in either profile and every mode."""
    x, wide = _wide(source)
    for profile in ("a2a3", "cpu-sim"):
        for target in (*FLOATS, *INTS):
            if target == source:
                continue
            expected = rounded(wide, target) if target in FLOATS else x.astype(np.int64).astype(STORAGE[target])
            for mode in MODES:
                assert_same_bits(convert(x, target, mode, profile), expected, x, what=f"{source} {target} {mode}")


def _precise(name: str, v: float) -> Any:
    context = mpmath.mp.clone()
    context.prec = 200
    value = context.mpf(v)
    return {"exp": context.exp, "log": context.log, "rsqrt": lambda t: 1 / context.sqrt(t)}[name](value)


def _function(name: str, wide: Array, target: str) -> Array:
    with np.errstate(all="ignore"):
        double: Array = {
            "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "rsqrt": lambda v: 1 / np.sqrt(v), "recip": lambda v: 1 / v,
        }[name](wide)  # fmt: skip
        near = rounded(double * (1 - 2.0**-50), target) != rounded(double * (1 + 2.0**-50), target)
    for i in np.flatnonzero(near & ~np.isnan(double) & (np.abs(double) != np.inf)):
        if name in ("sqrt", "recip"):
            continue  # a correctly rounded FP64 result is enough: 53 >= 2 * 11 + 2
        exact = _precise(name, float(wide[i]))
        # One unit of FP64 towards the exact value tells on which side of the middle it lies.
        double[i] = np.nextafter(double[i], np.inf if exact > double[i] else -np.inf) if exact != double[i] else exact
    return rounded(double, target)


@pytest.mark.parametrize("source", ["FP16", "BF16"])
@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "rsqrt", "recip"])
def test_functions(name: str, source: str) -> None:
    if source not in OP_TABLE[name].dtypes:
        return
    x, wide = _wide(source)
    expected = _function(name, wide, source)
    if (name, source) == ("exp", "FP16"):
        expected = rounded(_function(name, wide, "FP32").astype(np.float64), source)  # expf, then a second rounding
    for profile in ("a2a3", "cpu-sim"):
        assert_same_bits(OP_TABLE[name].function(x[None], profile=profile)[0], expected, x)


def _signs(x: Array, name: str) -> Array:
    """neg, abs and relu by the sign bit of a 16-bit float, or by 32-bit integers."""
    if x.dtype.kind in "iu":
        wide = x.astype(np.int32)
        made = {"neg": -wide, "abs": np.abs(wide), "relu": np.maximum(wide, 0)}[name]
        return made.astype(x.dtype)
    top, negative = np.uint16(0x8000), x.astype(np.float32) < 0
    flipped = EVERY ^ top
    return (
        {"neg": flipped, "abs": np.where(negative, flipped, EVERY), "relu": np.where(negative, 0, EVERY)}[name]
        .astype(np.uint16)
        .view(x.dtype)
    )


@pytest.mark.parametrize("dtype", ["FP16", "BF16", "INT16", "UINT16"])
@pytest.mark.parametrize("name", ["neg", "abs", "relu"])
def test_signs(name: str, dtype: str) -> None:
    if dtype not in OP_TABLE[name].dtypes:
        return
    x = EVERY.view(STORAGE[dtype])
    for profile in ("a2a3", "cpu-sim"):
        assert_same_bits(OP_TABLE[name].function(x[None], profile=profile)[0], _signs(x, name), x)


@pytest.mark.parametrize("dtype", ["INT16", "UINT16"])
def test_not(dtype: str) -> None:
    x = EVERY.view(STORAGE[dtype])
    assert_same_bits(OP_TABLE["not_"].function(x[None], profile="a2a3")[0], (EVERY ^ np.uint16(0xFFFF)).view(x.dtype))


@pytest.mark.parametrize("dtype", ["FP16", "BF16"])
@pytest.mark.parametrize("slope", [0.0, 0.25, -1.7, 3e4, float("inf"), float("nan")])
def test_lrelu(dtype: str, slope: float) -> None:
    x, wide = _wide(dtype)
    factor = float(np.array(slope, np.float32).astype(STORAGE[dtype]))
    with np.errstate(all="ignore"):
        # A product of two 16-bit floats is exact in FP64 and in FP32.
        expected = np.where(wide > 0, wide, wide * factor)
    assert_same_bits(OP_TABLE["lrelu"].function(x[None], slope, profile="a2a3")[0], rounded(expected, dtype), x)


@pytest.mark.parametrize("dtype", ["FP16", "BF16"])
@pytest.mark.parametrize("scalar", [0.0, -0.0, 1.0, 0.333, -65504.0, 1e-6, float("inf"), float("nan")])
def test_arithmetic_with_a_number(dtype: str, scalar: float) -> None:
    """FP64 holds the exact sum or product of two FP16 numbers; FP32 holds what the project rounds from."""
    x, wide = _wide(dtype)
    number = np.array(scalar, np.float32).astype(STORAGE[dtype])
    single, other = wide.astype(np.float32), np.float32(number)
    with np.errstate(all="ignore"):
        made = {"add": single + other, "sub": single - other, "mul": single * other, "div": single / other}
    for name, value in made.items():
        expected = rounded(value.astype(np.float64), dtype)
        assert_same_bits(OP_TABLE[name].function(x[None], scalar, profile="a2a3")[0], expected, x, what=name)
