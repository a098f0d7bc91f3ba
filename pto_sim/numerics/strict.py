"""Slow twins of the operators: one element at a time, in exact rational arithmetic, rounded once.

A twin has the signature of its row's function and gives the same bits; nothing here shares code with a fast
path. Python floats carry infinities, NaN and signs of zero; finite results are Fractions rounded by `round_exact`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from pto_sim.numerics import exact_rounding

_BF16 = np.dtype(ml_dtypes.bfloat16)


class Format(NamedTuple):
    """A binary float format: significand bits with the hidden one, least normal exponent, overflow exponent."""

    precision: int
    least_exponent: int
    overflow_exponent: int


FORMATS: Mapping[np.dtype, Format] = MappingProxyType(
    {
        np.dtype(np.float32): Format(24, -126, 128),
        np.dtype(np.float16): Format(11, -14, 16),
        _BF16: Format(8, -126, 128),
    }
)


def round_integer(value: Fraction, mode: str) -> int:
    """An integer next to `value` by mode; 'nearest_odd' takes the odd one of a tie, 'odd' always the odd neighbour."""
    low = math.floor(value)
    rest = value - low
    if rest == 0:
        return low
    if mode in ("floor", "ceil"):
        return low if mode == "floor" else low + 1
    if mode == "trunc":
        return low if value > 0 else low + 1
    odd_one, even_one = (low, low + 1) if low % 2 else (low + 1, low)
    if mode == "odd":
        return odd_one
    if rest != Fraction(1, 2):
        return low if rest < Fraction(1, 2) else low + 1
    if mode == "nearest_odd":
        return odd_one
    if mode == "round":
        return low + 1 if value > 0 else low
    return even_one


def round_exact(value: Fraction, fmt: Format, mode: str = "rint") -> float:
    """A non-zero value rounded to a format. At or beyond the overflow bound it is infinite, in every mode."""
    if abs(value) >= 1 << fmt.overflow_exponent:
        return math.copysign(math.inf, value)
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    exponent = max(exponent if abs(value) >= _power(exponent) else exponent - 1, fmt.least_exponent)
    step = _power(exponent - fmt.precision + 1)
    rounded = round_integer(value / step, mode) * step
    if abs(rounded) >= 1 << fmt.overflow_exponent:
        return math.copysign(math.inf, value)
    return math.copysign(rounded.numerator / rounded.denominator, value)


def _power(exponent: int) -> Fraction:
    """2 ** exponent, exactly."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def fma(a: float, b: float, c: float, fmt: Format) -> float:
    """a * b + c with one rounding. FP64 holds a product of two FP32 values exactly, so it settles the special cases."""
    loose = a * b + c
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return loose
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return round_exact(exact, fmt) if exact else math.copysign(0.0, a * b + c)


def _divide(a: float, b: float) -> float:
    if b == 0:
        sign = math.copysign(1.0, a) * math.copysign(1.0, b)
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, sign)
    return a / b


_LOOSE: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": _divide}
)


def arithmetic(name: str, a: float, b: float, fmt: Format) -> float:
    """a op b with one rounding."""
    loose = _LOOSE[name](a, b)
    if not (math.isfinite(a) and math.isfinite(b)) or loose == 0 or math.isinf(loose) or math.isnan(loose):
        return loose
    exact = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y}
    return round_exact(exact[name](Fraction(a), Fraction(b)), fmt)


def wrap(value: int, dtype: np.dtype) -> int:
    """The integer that keeps the low bits of `value` in an integer type."""
    bits = 8 * dtype.itemsize
    value %= 1 << bits
    return value - (1 << bits) if dtype.kind == "i" and value >= 1 << (bits - 1) else value


def _integer(name: str, a: int, b: int, dtype: np.dtype) -> int:
    if name != "div":
        return wrap(_LOOSE[name](a, b), dtype)
    if b == 0:
        raise ZeroDivisionError("integer division by zero")
    quotient = abs(a) // abs(b)
    return wrap(quotient if (a < 0) == (b < 0) else -quotient, dtype)


def _value(item: Any) -> Any:
    """A NumPy element as a Python int or float; FP64 holds every element type's floats."""
    return int(item) if isinstance(item, (np.integer, np.bool_, int)) else float(item)


def _each(function: Callable[..., Any], *arrays: np.ndarray, out: np.dtype) -> np.ndarray:
    arrays = tuple(np.broadcast_arrays(*arrays))
    result = np.empty(arrays[0].shape, out)
    for index in np.ndindex(*arrays[0].shape):
        result[index] = function(*(_value(array[index]) for array in arrays))
    return result


def _second(a: np.ndarray, b: Any) -> np.ndarray:
    if isinstance(b, np.ndarray) and b.ndim == a.ndim:
        return b
    b = np.asarray(b)
    b = b.astype(np.float32).astype(a.dtype) if a.dtype == _BF16 else b.astype(a.dtype)
    return b.reshape(b.shape + (1,) * (a.ndim - 1)) if b.ndim else b


def _binary(name: str) -> Callable[..., np.ndarray]:
    def twin(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
        fmt = FORMATS.get(a.dtype)
        if fmt is None:
            return _each(lambda x, y: _integer(name, x, y, a.dtype), a, _second(a, b), out=a.dtype)
        return _each(lambda x, y: arithmetic(name, x, y, fmt), a, _second(a, b), out=a.dtype)

    return twin


def _pick(name: str) -> Callable[..., np.ndarray]:
    def twin(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
        if name == "max":
            return _each(lambda x, y: y if x < y else x, a, _second(a, b), out=a.dtype)
        return _each(lambda x, y: y if y < x else x, a, _second(a, b), out=a.dtype)

    return twin


def neg(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """-x."""
    return _each(lambda v: -v if isinstance(v, float) else wrap(-v, x.dtype), x, out=x.dtype)


def absolute(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """x < 0 ? -x : x."""
    return _each(lambda v: (-v if isinstance(v, float) else wrap(-v, x.dtype)) if v < 0 else v, x, out=x.dtype)


def _function(name: str) -> Callable[..., np.ndarray]:
    def one(v: float, fmt: Format) -> float:
        if math.isnan(v) or (v < 0 and name != "exp"):
            return math.nan
        if math.isinf(v):
            return {"exp": 0.0 if v < 0 else v, "log": v, "sqrt": v, "rsqrt": 0.0}[name]
        if v == 0:
            return {"exp": 1.0, "log": -math.inf, "sqrt": v, "rsqrt": math.copysign(math.inf, v)}[name]
        return exact_rounding.rounded(name, Fraction(v), lambda end: round_exact(end, fmt) if end else 0.0)

    def twin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
        fp32 = FORMATS[np.dtype(np.float32)]
        if name == "exp" and x.dtype == np.float16:
            # Upstream calls expf and narrows: two roundings.
            wide = _each(lambda v: one(v, fp32), x, out=np.dtype(np.float32))
            return convert(wide, np.dtype(np.float16), "rint", "a2a3")
        return _each(lambda v: one(v, FORMATS[x.dtype]), x, out=x.dtype)

    return twin


def recip(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """1 / x."""
    return _each(lambda v: arithmetic("div", 1.0, v, FORMATS[x.dtype]), x, out=x.dtype)


def _reduce(name: str, axis: int) -> Callable[..., np.ndarray]:
    def fold(items: list[Any], dtype: np.dtype) -> Any:
        if name in ("max", "min"):
            best = items[0]
            for item in items[1:]:
                best = item if (item > best if name == "max" else item < best) else best
            return best
        total: Any = 0.0 if dtype in FORMATS else 0
        wide = axis == -1 and dtype in FORMATS
        fmt = FORMATS[np.dtype(np.float32)] if wide else FORMATS.get(dtype)
        for item in items:
            total = wrap(total + item, dtype) if fmt is None else arithmetic("add", total, item, fmt)
        if wide and math.isfinite(total) and total:
            return round_exact(Fraction(total), FORMATS[dtype])
        return total

    def twin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
        moved = np.moveaxis(x, axis, -1)
        out = np.empty(moved.shape[:-1], x.dtype)
        for index in np.ndindex(*out.shape):
            out[index] = fold([_value(item) for item in moved[index]], x.dtype)
        return np.expand_dims(out, axis)

    return twin


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    *,
    a_trans: bool = False,
    b_trans: bool = False,
    k_split: int | None = None,
    profile: str = "a2a3",
    acc: np.ndarray | None = None,
) -> np.ndarray:
    """Chains of fused multiply-adds by ascending k from +0, one for each block of k_split, added in order."""
    a = np.swapaxes(a, -1, -2) if a_trans else a
    b = np.swapaxes(b, -1, -2) if b_trans else b
    lanes = max(a.shape[0], b.shape[0], 1 if acc is None else acc.shape[0])
    depth = a.shape[-1]
    integral = a.dtype == np.int8
    dtype = np.dtype(np.int32 if integral else np.float32)
    out = np.zeros((lanes, a.shape[1], b.shape[2]), dtype)
    for lane, i, j in np.ndindex(*out.shape):
        left = [_value(v) for v in a[lane % a.shape[0], i]]
        right = [_value(v) for v in b[lane % b.shape[0], :, j]]
        total = None if acc is None else _value(acc[lane % acc.shape[0], i, j])
        for k0 in range(0, depth, k_split or depth):
            chain: Any = 0 if integral else 0.0
            for x, y in zip(left[k0 : k0 + (k_split or depth)], right[k0 : k0 + (k_split or depth)], strict=True):
                chain = wrap(chain + x * y, dtype) if integral else fma(x, y, chain, FORMATS[dtype])
            if total is None:
                total = chain
            else:
                total = wrap(total + chain, dtype) if integral else arithmetic("add", total, chain, FORMATS[dtype])
        out[lane, i, j] = total
    return out


def matmul_acc(acc: np.ndarray, a: np.ndarray, b: np.ndarray, **attrs: Any) -> np.ndarray:
    """acc + chain 0 + chain 1 + ..."""
    return matmul(a, b, acc=acc, **attrs)


_WRAPS = frozenset({("float16", "uint8"), ("float16", "int8"), ("float16", "int16"), ("float32", "int16")})


def _float_to_int(value: float, source: np.dtype, target: np.dtype, mode: str, profile: str) -> int:
    info = np.iinfo(target)
    if profile == "cpu-sim" or (source.name, target.name) in _WRAPS:
        bits = 64 if target.itemsize == 8 or target.name in ("uint8", "uint32") else 32
        lowest = -(1 << (bits - 1))
        rounded = round_integer(Fraction(value), mode) if math.isfinite(value) else lowest
        return wrap(rounded if lowest <= rounded < -lowest else lowest, target)
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return int(info.max) if value > 0 else int(info.min)
    return min(max(round_integer(Fraction(value), mode), int(info.min)), int(info.max))


def convert(x: np.ndarray, target: np.dtype, mode: str, profile: str) -> np.ndarray:
    """One conversion step. mode: a name."""
    source_float, target_float = x.dtype in FORMATS, target in FORMATS
    if not target_float and not source_float:
        return _each(lambda v: wrap(v, target), x, out=target)
    if not target_float:
        known = {"none": "trunc", "odd": "nearest_odd" if profile == "cpu-sim" else "odd"}
        return _each(lambda v: _float_to_int(v, x.dtype, target, known.get(mode, mode), profile), x, out=target)
    float_mode = "rint" if mode == "none" or profile == "cpu-sim" or not source_float else mode

    def one(v: Any) -> float:
        v = float(v)
        if not math.isfinite(v) or v == 0:
            return v
        # An FP16 or FP32 overflow is decided at the bound, whatever the mode.
        return round_exact(Fraction(v), FORMATS[target], float_mode)

    return _each(one, x, out=target)


def matmul_bias(bias: np.ndarray, a: np.ndarray, b: np.ndarray, **attrs: Any) -> np.ndarray:
    """(bias + chain 0) + chain 1 + ...; the sum of two numbers does not depend on their order."""
    rows = a.shape[-1 if attrs.get("a_trans") else -2]
    return matmul(a, b, acc=np.repeat(bias, rows, axis=1), **attrs)


def _col_sum(x: np.ndarray, *, tree: bool = False, profile: str = "a2a3") -> np.ndarray:
    """tree: BinarySum of pto-isa's TColSum.hpp step by step, in place in a copy."""
    if not tree:
        return _reduce("sum", -2)(x)
    out = np.empty((*x.shape[:-2], 1, x.shape[-1]), x.dtype)
    fmt = FORMATS[x.dtype]
    for *lane, column in np.ndindex(*x.shape[:-2], x.shape[-1]):
        rows = [_value(x[(*lane, row, column)]) for row in range(x.shape[-2])]
        count = len(rows)
        while count > 1:
            last = rows[count - 1]
            for i in range(count // 2):
                rows[i] = arithmetic("add", rows[2 * i], rows[2 * i + 1], fmt)
            if count % 2:
                rows[0] = arithmetic("add", rows[0], last, fmt)
            count //= 2
        out[(*lane, 0, column)] = rows[0]
    return out


STRICT: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {
        **{name: _binary(name) for name in _LOOSE},
        **{f"{axis}_expand_{name}": _binary(name) for axis in ("row", "col") for name in _LOOSE},
        **{f"{axis}_expand_{name}": _pick(name) for axis in ("row", "col") for name in ("max", "min")},
        "maximum": _pick("max"),
        "minimum": _pick("min"),
        "neg": neg,
        "abs": absolute,
        **{name: _function(name) for name in ("exp", "log", "sqrt", "rsqrt")},
        "recip": recip,
        **{f"row_{name}": _reduce(name, -1) for name in ("sum", "max", "min")},
        **{f"col_{name}": _reduce(name, -2) for name in ("max", "min")},
        "col_sum": _col_sum,
        "matmul": matmul,
        "matmul_acc": matmul_acc,
        "matmul_bias": matmul_bias,
    }
)
