"""exp, log, sqrt, rsqrt and recip against mpmath at 200 bits, rounded once."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from benchmarks import exhaustive_fp32
from pto_sim.numerics import exact_rounding, transcendental
from pto_sim.numerics import transcendental_kernels as kernels
from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.strict import FORMATS, Format, round_exact
from tests.numerics.special_values import assert_same_bits

FP32 = FORMATS[np.dtype(np.float32)]
# A context of our own: mpmath.mp is shared by everything in the process.
PRECISE = mpmath.mp.clone()
PRECISE.prec = 200

_REFERENCE: dict[str, Callable[[Any], Any]] = {
    "exp": PRECISE.exp,
    "log": PRECISE.log,
    "sqrt": PRECISE.sqrt,
    "rsqrt": lambda x: 1 / PRECISE.sqrt(x),
    "recip": lambda x: 1 / x,
}


def exact(name: str, x: float) -> Fraction:
    value = _REFERENCE[name](PRECISE.mpf(x))
    sign, mantissa, exponent, _ = value._mpf_
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def rounded(name: str, x: float, fmt: Format) -> float:
    if math.isnan(x) or (x < 0 and name in ("log", "sqrt", "rsqrt")):
        return math.nan
    if x == 0:
        signed = math.copysign(math.inf, x)
        return {"exp": 1.0, "log": -math.inf, "sqrt": x, "rsqrt": signed, "recip": signed}[name]
    if math.isinf(x):
        zero = math.copysign(0.0, x)
        return {"exp": 0.0 if x < 0 else x, "log": x, "sqrt": x, "rsqrt": zero, "recip": zero}[name]
    value = exact(name, min(max(x, -200.0), 200.0) if name == "exp" else x)
    return round_exact(value, fmt) if value else 0.0


def reference(name: str, x: np.ndarray) -> np.ndarray:
    fmt = FORMATS[x.dtype]
    if name == "exp" and x.dtype == np.float16:
        # expf, then a second rounding to FP16.
        return np.array([rounded(name, float(v), FP32) for v in x], np.float32).astype(np.float16)
    return np.array([rounded(name, float(v), fmt) for v in x]).astype(x.dtype)


def check(name: str, x: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        expected = reference(name, x)
    assert_same_bits(getattr(transcendental, name)(x[None])[0], expected, x)


@pytest.mark.parametrize("name", list(_REFERENCE))
def test_fp32_over_all_exponents(name: str) -> None:
    patterns = np.random.default_rng(1).integers(0, 1 << 32, 3000, dtype=np.uint32)
    check(name, patterns.view(np.float32))


@pytest.mark.parametrize("name", list(_REFERENCE))
def test_fp32_of_ordinary_size(name: str) -> None:
    rng = np.random.default_rng(2)
    near_one = 1 + rng.standard_normal(500) * 1e-4
    check(name, np.concatenate([rng.standard_normal(1500) * 20, near_one]).astype(np.float32))


def test_exp_at_the_ends_of_the_range() -> None:
    """Overflow, subnormal results and underflow to zero."""
    edges = [88.72283, 88.72284, 88.7229, 89.0, -87.3365, -103.2789, -103.972, -103.973, -104.0, -150.0, 1e-45, -1e-45]
    check("exp", np.array(edges, np.float32))


# Every FP32 input whose exp the FP64 kernel leaves open, found by trying all of them, and some of log's and rsqrt's.
_HARD = {
    "exp": [0x377EFF81, 0x39C6BE5B, 0x4001B249, 0x40315B33, 0xB3000000, 0xBAE0E25C, 0xBBF0EDF1, 0xC16912CD],
    "log": [0x022AE487, 0x03D2F29F, 0x064CB44B, 0x3FC55379, 0x3FD364D7, 0x4056EE45, 0x41178FEB, 0x7D98B8F4],
    "rsqrt": [0x013A18E3, 0x023A18E3, 0x403A18E3, 0x7F3A18E3],
}


@pytest.mark.parametrize("name", list(_HARD))
def test_hard_cases_take_the_exact_path(name: str) -> None:
    x = np.array(_HARD[name], np.uint32).view(np.float32)
    assert getattr(kernels, f"{name}_doubtful")(x).all()
    assert getattr(kernels, f"{name}_fp32")(x, np.empty_like(x)) == len(x)
    check(name, x)


@pytest.mark.parametrize(
    "name, bound", [("exp", kernels.EXP_BOUND), ("log", kernels.LOG_BOUND), ("rsqrt", kernels.RSQRT_BOUND)]
)
def test_kernels_keep_their_error_bound(name: str, bound: float) -> None:
    """Half of the stated bound at most, so that rounding inside the test for doubt is covered too."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-100, 88, 1500), 1 + rng.standard_normal(500) * 1e-3]).astype(np.float32)
    x = np.abs(x) if name != "exp" else x
    y = np.empty(len(x))
    getattr(kernels, f"{name}_fp64")(x, y)
    for value, got in zip(x.tolist(), y.tolist(), strict=True):
        true = exact(name, value)
        assert abs(Fraction(got) - true) <= abs(true) * Fraction(bound) / 2


@pytest.mark.parametrize("name", ["exp", "log", "rsqrt"])
def test_exact_path_alone(name: str) -> None:
    x = np.abs(np.random.default_rng(4).standard_normal(100) * 5).astype(np.float32)
    for value in x.tolist():
        assert float(getattr(exact_rounding, name)(value)) == rounded(name, value, FP32)


@pytest.mark.parametrize(
    "name, value, expected", [("log", 1.0, 0.0), ("rsqrt", 0.25, 2.0), ("exp", 0.0, 1.0), ("sqrt", 9.0, 3.0)]
)
@pytest.mark.parametrize("dtype", ["FP32", "FP16", "BF16"])
def test_exact_results(name: str, value: float, expected: float, dtype: str) -> None:
    x = np.array([[value]]).astype(STORAGE[dtype])
    assert getattr(transcendental, name)(x)[0, 0] == expected


_NARROW = [(name, dtype) for name in _REFERENCE for dtype in ("FP16", "BF16") if (name, dtype) != ("rsqrt", "BF16")]


@pytest.mark.parametrize("name, dtype", _NARROW)
def test_16_bit_types(name: str, dtype: str) -> None:
    check(name, np.arange(0, 1 << 16, 61, dtype=np.uint16).view(STORAGE[dtype]))


@pytest.mark.slow
@pytest.mark.parametrize("name, dtype", _NARROW)
def test_16_bit_types_exhaustively(name: str, dtype: str) -> None:
    check(name, np.arange(1 << 16, dtype=np.uint16).view(STORAGE[dtype]))


def test_fp16_exp_rounds_twice_as_upstream() -> None:
    """At 0x1f79 and 0x25cf expf and a second rounding differ from a single one."""
    x = np.array([0x1F79, 0x25CF], np.uint16).view(np.float16)
    single = np.array([rounded("exp", float(v), FORMATS[x.dtype]) for v in x]).astype(np.float16)
    assert (transcendental.exp(x[None])[0] != single).all()


@pytest.mark.parametrize("name", list(_REFERENCE))
def test_a_sample_of_the_exhaustive_comparison(name: str) -> None:
    """Blocks of neighbours at every exponent, through the comparison that the offline benchmark makes of all inputs."""
    starts = np.arange(0, 1 << 32, 1 << 23, dtype=np.int64)[:, None]
    patterns = (starts + np.arange(-100, 100)).reshape(-1) % (1 << 32)
    checked = exhaustive_fp32.check(name, patterns.astype(np.uint32))
    assert checked.inputs == 512 * 200
    assert checked.different == 0, [hex(bits) for bits in checked.first]


def test_the_exhaustive_comparison_sees_a_wrong_result(monkeypatch: pytest.MonkeyPatch) -> None:
    one = np.full(1, 0x3F800000, np.uint32)
    monkeypatch.setattr(transcendental, "recip", lambda x: np.nextafter(1 / x, np.float32(0)))
    assert exhaustive_fp32.check("recip", one) == (1, 1, 0, (0x3F800000,))


@pytest.mark.parametrize("bits", _HARD["exp"])
def test_hard_inputs_are_decided_by_mpmath(bits: int) -> None:
    checked = exhaustive_fp32.check("exp", np.array([bits], np.uint32))
    assert (checked.hard, checked.different) == (1, 0)
