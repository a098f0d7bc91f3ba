"""Slow twins of the operators beside plain arithmetic: bits, remainders, masks, positions, composites.

One element at a time in exact arithmetic, as in `strict`; nothing here shares code with a fast path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from pto_sim.numerics.strict import FORMATS, STRICT, Format, _each, _second, _value, arithmetic, convert, wrap

_FP32 = FORMATS[np.dtype(np.float32)]


def _bits(operation: Callable[[int, int], int]) -> Callable[..., np.ndarray]:
    def twin(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
        return _each(lambda x, y: wrap(operation(x, y), a.dtype), a, _second(a, b), out=a.dtype)

    return twin


def _relu(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    zero: Any = 0.0 if x.dtype in FORMATS else 0
    return _each(lambda v: zero if v < 0 else v, x, out=x.dtype)


def _sloped(x: np.ndarray, slope: Any, *, profile: str = "a2a3") -> np.ndarray:
    fmt = FORMATS[x.dtype]
    return _each(lambda v, s: v if v > 0 else arithmetic("mul", v, s, fmt), x, _second(x, slope), out=x.dtype)


def _sum_of_three(sign: int) -> Callable[..., np.ndarray]:
    """16-bit floats: both additions in FP32, then one rounding."""

    def twin(a: np.ndarray, b: Any, c: Any, *, profile: str = "a2a3") -> np.ndarray:
        name = "add" if sign > 0 else "sub"
        if a.dtype not in FORMATS:
            return _each(lambda x, y, z: wrap(x + sign * y + z, a.dtype), a, _second(a, b), _second(a, c), out=a.dtype)
        wide = _each(
            lambda x, y, z: arithmetic("add", arithmetic(name, x, y, _FP32), z, _FP32),
            a, _second(a, b), _second(a, c), out=np.dtype(np.float32),
        )  # fmt: skip
        return wide if a.dtype == np.float32 else convert(wide, a.dtype, "rint", "a2a3")

    return twin


def _rdivs(a: np.ndarray, scalar: Any, *, profile: str = "a2a3") -> np.ndarray:
    return STRICT["div"](np.array(np.broadcast_to(_second(a, scalar), a.shape)), a)


def _fmod_one(x: Any, y: Any) -> Any:
    if not isinstance(x, float):
        return int(math.copysign(1, x)) * (abs(x) % abs(y)) if x else 0
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or y == 0:
        return math.nan
    if math.isinf(y):
        return x
    rest = abs(Fraction(x)) % abs(Fraction(y))
    return math.copysign(float(rest), x)


def _fmod(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    return _each(_fmod_one, a, _second(a, b), out=a.dtype)


def _rem(a: np.ndarray, b: Any, *, profile: str = "a2a3") -> np.ndarray:
    fmt = FORMATS.get(a.dtype)

    def one(x: Any, y: Any) -> Any:
        part = _fmod_one(x, y)
        if (x >= 0) == (y >= 0) or part == 0:
            return part
        return wrap(part + y, a.dtype) if fmt is None else arithmetic("add", part, y, fmt)

    return _each(one, a, _second(a, b), out=a.dtype)


def _expdif(x: np.ndarray, v: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    return STRICT["exp"](STRICT["sub"](x, v))


def _part(name: str) -> Callable[..., np.ndarray]:
    whole = STRICT[{"max": "maximum", "min": "minimum"}.get(name, name)]

    def twin(a: np.ndarray, b: np.ndarray, *, a_valid: Any, b_valid: Any, profile: str = "a2a3") -> np.ndarray:
        both = whole(a, b)
        out = np.zeros_like(both)
        for index in np.ndindex(*both.shape):
            inside = [all(i < n for i, n in zip(index[1:], valid, strict=True)) for valid in (a_valid, b_valid)]
            if all(inside):
                out[index] = both[index]
            elif any(inside):
                out[index] = (a if inside[0] else b)[index]
        return out

    return twin


def _product(axis: int) -> Callable[..., np.ndarray]:
    def twin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
        fmt, moved = FORMATS.get(x.dtype), np.moveaxis(x, axis, -1)
        out = np.empty(moved.shape[:-1], x.dtype)
        for index in np.ndindex(*out.shape):
            total: Any = 1.0 if fmt else 1
            for item in moved[index]:
                value = _value(item)
                total = wrap(total * value, x.dtype) if fmt is None else arithmetic("mul", total, value, fmt)
            out[index] = total
        return np.expand_dims(out, axis)

    return twin


def _position(axis: int, largest: bool) -> Callable[..., np.ndarray]:
    def twin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
        moved = np.moveaxis(x, axis, -1)
        out = np.empty(moved.shape[:-1], np.int32)
        for index in np.ndindex(*out.shape):
            items = [_value(item) for item in moved[index]]
            best = 0
            for place, item in enumerate(items):
                if item > items[best] if largest else item < items[best]:
                    best = place
            out[index] = best
        return np.expand_dims(out, axis)

    return twin


def _chain(name: str, a: float, b: float, fmt: Format = _FP32) -> float:
    return arithmetic(name, a, b, fmt)


def _trigonometric(cosine: bool) -> Callable[..., np.ndarray]:
    """The recipe of pypto: docs/en/dev/passes/12-lower_composite_ops.md, one FP32 step after another."""
    pi = [float(np.float32(v)) for v in (3.140625, 0.0009670257568359375, 6.2771141529083251953125e-7,
                                         1.21644916362129151821e-10, -1.0290623200529979163e-13)]  # fmt: skip
    inverse = float(np.float32(0.31830988732818603515625))
    head, tail = float(np.float32(1.57079637050628662109375)), float(np.float32(-4.371139000189375e-8))
    series = [float(np.float32(v)) for v in (2.604926501e-6, -1.980894471e-4, 8.333049340e-3, -1.666665792e-1, 1.0)]
    single, whole = np.dtype(np.float32), np.dtype(np.int32)

    def rounded(value: float, mode: str) -> float:
        one = np.array([value], np.float32)
        return float(convert(convert(one, whole, mode, "a2a3"), single, "rint", "a2a3")[0])

    def one(x: float) -> float:
        k = _chain("mul", x, inverse)
        k = rounded(_chain("add", k, 0.5), "rint") if cosine else rounded(k, "round")
        t = x
        for place, part in enumerate(pi):
            t = _chain("sub", t, _chain("mul", k, part))
            if cosine and place == 1:
                t = _chain("add", t, head)
        t = _chain("add", t, tail) if cosine else t
        half = rounded(_chain("mul", k, 0.5), "floor")
        sign = _chain("add", _chain("add", _chain("mul", half, 4.0), _chain("mul", k, -2.0)), 1.0)
        square = _chain("mul", t, t)
        value = _chain("add", _chain("mul", square, series[0]), series[1])
        for coefficient in series[2:]:
            value = _chain("add", _chain("mul", value, square), coefficient)
        return _chain("mul", sign, _chain("mul", t, value))

    def twin(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
        return _each(one, x, out=single)

    return twin


STRICT_SELECTION: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {
        "and_": _bits(lambda x, y: x & y),
        "or_": _bits(lambda x, y: x | y),
        "xor_": _bits(lambda x, y: x ^ y),
        "not_": lambda x, profile="a2a3": _each(lambda v: wrap(~v, x.dtype), x, out=x.dtype),
        "relu": _relu,
        "lrelu": _sloped,
        "prelu": _sloped,
        "addc": _sum_of_three(1),
        "subc": _sum_of_three(-1),
        "rdivs": _rdivs,
        "fmod": _fmod,
        "rem": _rem,
        "sin": _trigonometric(False),
        "cos": _trigonometric(True),
        **{f"{axis}_expand_expdif": _expdif for axis in ("row", "col")},
        **{f"part_{name}": _part(name) for name in ("add", "mul", "max", "min")},
        "row_prod": _product(-1),
        "col_prod": _product(-2),
        "row_argmax": _position(-1, True),
        "row_argmin": _position(-1, False),
        "col_argmax": _position(-2, True),
        "col_argmin": _position(-2, False),
    }
)
