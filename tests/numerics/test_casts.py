"""Casts: documented values, the compiler's chains, and where the profiles part."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np
import pytest

from pto_sim.numerics.casts import (
    CHAINS,
    NATIVE_CASTS,
    cast,
    cast_chain,
    convert,
    narrow_bf16,
    narrow_double,
    widen_bf16,
)
from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.strict import FORMATS, round_exact
from pto_sim.numerics.typing_rules import OpTypeError
from tests.numerics.special_values import BF16, assert_same_bits, bits, sample


def _cast(values: list[float], source: str, target: str, mode: str, profile: str = "a2a3") -> list[float]:
    return cast(np.array([values]).astype(STORAGE[source]), target=target, mode=mode, profile=profile)[0].tolist()


@pytest.mark.parametrize(
    "mode, expected",
    [
        ("rint", [2, 2, -2, 3, -4]),
        ("round", [2, 3, -3, 3, -4]),
        ("floor", [1, 2, -3, 2, -4]),
        ("ceil", [2, 3, -2, 3, -3]),
        ("trunc", [1, 2, -2, 2, -3]),
        ("none", [1, 2, -2, 2, -3]),
        ("odd", [1, 3, -3, 3, -3]),
    ],
)
def test_modes_to_int(mode: str, expected: list[int]) -> None:
    assert _cast([1.5, 2.5, -2.5, 2.75, -3.6], "FP32", "INT32", mode) == expected


def test_odd_of_the_simulator_is_nearest_with_ties_to_odd() -> None:
    assert _cast([1.5, 2.5, -2.5, 2.25, -3.6], "FP32", "INT32", "odd", "cpu-sim") == [1, 3, -3, 2, -4]


@pytest.mark.parametrize(
    "mode, first, second",
    [
        ("rint", 0x3F80, 0x3F82),
        ("round", 0x3F81, 0x3F82),
        ("floor", 0x3F80, 0x3F81),
        ("ceil", 0x3F81, 0x3F82),
        ("trunc", 0x3F80, 0x3F81),
        ("odd", 0x3F81, 0x3F81),
    ],
)
def test_modes_to_bf16(mode: str, first: int, second: int) -> None:
    """The two ties 0x3F808000 and 0x3F818000, positive; cpu-sim rounds to even whatever the mode."""
    x = np.array([[0x3F808000, 0x3F818000]], np.uint32).view(np.float32)
    assert bits(cast(x, target="BF16", mode=mode))[0].tolist() == [first, second]
    assert bits(cast(x, target="BF16", mode=mode, profile="cpu-sim"))[0].tolist() == [0x3F80, 0x3F82]


def test_saturation_of_a2a3_and_low_bits_of_the_simulator() -> None:
    values = [3e9, -3e9, np.nan, np.inf, 300.0]
    assert _cast(values, "FP32", "INT32", "rint") == [2**31 - 1, -(2**31), 0, 2**31 - 1, 300]
    assert _cast(values, "FP32", "INT32", "rint", "cpu-sim") == [-(2**31)] * 4 + [300]


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
def test_pairs_that_wrap_in_both_profiles(profile: str) -> None:
    assert _cast([300.0, 128.0, -129.0], "FP16", "INT8", "rint", profile) == [44, -128, 127]
    assert _cast([40000.0, 70000.0], "FP32", "INT16", "rint", profile) == [-25536, 4464]
    assert _cast([70000, -70000], "INT32", "INT16", "rint", profile) == [4464, -4464]


def test_float_overflow_is_infinite() -> None:
    assert _cast([70000.0, -70000.0, 65519.0], "FP32", "FP16", "rint") == [np.inf, -np.inf, 65504.0]
    assert _cast([65520.0], "FP32", "FP16", "trunc") == [65504.0]


def test_quantisation_idiom() -> None:
    """FP32 -> INT32 (rint) -> FP16 -> INT8 (trunc) keeps small integers."""
    x = np.arange(-128, 128, dtype=np.float32)[None] + np.float32(0.25)
    step = cast(cast(x, target="INT32", mode="rint"), target="FP16", mode="round")
    assert cast(step, target="INT8", mode="trunc")[0].tolist() == list(range(-128, 128))


_WIDTH = {"FP32": 32, "FP16": 16, "BF16": 16, "INT64": 64, "INT32": 32, "INT16": 16, "INT8": 8, "UINT8": 8}
_FLOAT = {"FP32": (24, 8), "FP16": (11, 5), "BF16": (8, 8)}


def _narrows(middle: str, target: str) -> bool:
    """A step through `middle` would lose values that `target` can hold."""
    target_bits = _WIDTH[target] - (target[0] == "I")
    if middle in _FLOAT and target in _FLOAT:
        return any(m < t for m, t in zip(_FLOAT[middle], _FLOAT[target], strict=True))
    if middle in _FLOAT:
        return _FLOAT[middle][0] < target_bits
    if target in _FLOAT or (middle[0] == "U" and target[0] == "I"):
        return True
    return _WIDTH[middle] - (middle[0] == "I") < target_bits


def _cost(source: str, target: str) -> int:
    if source not in _FLOAT and target in _FLOAT and _WIDTH[source] == _WIDTH[target]:
        return 0
    return 1 if source in _FLOAT and target in _FLOAT else 2


def _search(source: str, target: str) -> tuple[str, ...] | None:
    """The compiler's rule: a shortest path, then least cost, then the order of its table."""
    best: dict[str, tuple[int, int, tuple[str, ...]]] = {source: (0, 0, ())}
    queue = deque([source])
    while queue:
        at = queue.popleft()
        length, cost, path = best[at]
        for step in NATIVE_CASTS[at]:
            if step != target and _narrows(step, target):
                continue
            found = (length + 1, cost + _cost(at, step), (*path, step))
            if step not in best:
                queue.append(step)
                best[step] = found
            elif best[step][0] == found[0] and found[1] < best[step][1]:
                best[step] = found
    return best[target][2] if target in best else None


@pytest.mark.parametrize("source", list(NATIVE_CASTS))
def test_chains_are_what_the_compiler_searches_out(source: str) -> None:
    for target in NATIVE_CASTS:
        if target != source:
            assert cast_chain(source, target) == (
                _search(source, target) if target not in NATIVE_CASTS[source] else (target,)
            )


def test_a_chain_rounds_at_every_step() -> None:
    """INT32 -> FP32 -> BF16 rounds twice: 2**24 + 2**16 + 1 loses its last bit first, then ties to even."""
    value = 2**24 + 2**16 + 1
    assert CHAINS["INT32", "BF16"] == ("FP32", "BF16")
    assert _cast([value], "INT32", "BF16", "rint") == [2.0**24]
    assert round_exact(Fraction(value), FORMATS[BF16]) == 2.0**24 + 2**17


def test_int64_to_fp32_goes_through_a_double() -> None:
    """2**60 + 2**36 + 1 is above a tie; the double drops the 1, and the tie goes to even."""
    assert convert(np.array([[2**60 + 2**36 + 1]], np.int64), "FP32")[0, 0] == np.float32(2.0**60)


def test_double_to_16_bits_is_one_rounding() -> None:
    rng = np.random.default_rng(7)
    x = rng.standard_normal(500) * 10.0 ** rng.integers(-9, 5, 500)
    ties = np.array(
        [1 + 2.0**-8, 1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8 - 2.0**-40, 1 + 2.0**-11 + 2.0**-45, 65520 - 2.0**-30]
    )
    x = np.concatenate([x, ties, -ties])
    for dtype in (np.dtype(np.float16), BF16):
        expected = np.array([round_exact(Fraction(v), FORMATS[dtype]) for v in x.tolist()]).astype(dtype)
        assert_same_bits(narrow_double(x, dtype), expected, x)


def test_bf16_round_trip() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(BF16)[None]
    assert_same_bits(narrow_bf16(widen_bf16(every)), every)
    assert_same_bits(widen_bf16(every), every.astype(np.float32))
    x = sample("FP32", (1, 5000), seed=3)
    with np.errstate(invalid="ignore"):
        assert_same_bits(narrow_bf16(x), x.astype(BF16), x)


def test_no_path() -> None:
    with pytest.raises(OpTypeError, match="UINT32 to FP32"):
        cast(np.zeros((1, 2), np.uint32), target="FP32")
