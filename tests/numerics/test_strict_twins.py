"""Every fast operator against its slow exact twin, bit for bit, over the operator table.

A new row of the table is picked up here: it needs a twin in `strict.STRICT`, or must move elements only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pto_sim.numerics.casts import MODES, convert
from pto_sim.numerics.element_types import FLOATS, INTS, STORAGE
from pto_sim.numerics.optable import OP_TABLE, OpRow
from pto_sim.numerics.strict import STRICT
from pto_sim.numerics.strict import convert as strict_convert
from pto_sim.numerics.strict_selection import STRICT_SELECTION
from tests.numerics.special_values import assert_same_bits, sample, specials

_MOVES_ONLY = {"row_expand", "col_expand", "gather", "concat", "transpose", "full", "arange"} | {
    "sel", "sels", "gather_mask", "gather_flat", "gatherb", "scatter_flat", "scatter_mask", "tri", "sort32", "mrgsort",
    "mrgsort_lists", "cmp", "shl", "shr", "random", "gather_axis", "gather_compare", "gather_count", "scatter",
    "scatter_rows", "scatter_columns", "mgather", "mscatter",
}  # fmt: skip
"""No arithmetic of their own, or none that rounds; every recorded case of these is reproduced in test_recorded*."""
TWINS = {**STRICT, **STRICT_SELECTION}
_ARITHMETIC = [row for row in OP_TABLE.values() if row.name in TWINS and row.unit == "V"]
_CASES = [(row, dtype) for row in _ARITHMETIC for dtype in row.dtypes]
SHAPE = (2, 5, 19)


def test_every_row_has_a_twin() -> None:
    assert set(OP_TABLE) == set(TWINS) | _MOVES_ONLY | {"cast"}


def _operands(row: OpRow, dtype: str) -> list[np.ndarray]:
    shapes = {"row_vector": (2, 5, 1), "col_vector": (2, 1, 19)}
    second = sample(dtype, shapes.get(row.shape_rule, SHAPE), seed=2)
    if ("div" in row.name or row.name in ("fmod", "rem")) and dtype in INTS:
        second[second == 0] = 3
    if row.name == "rdivs":
        first = sample(dtype, SHAPE, seed=1)
        first[first == 0] = 3
        return [first, np.array([5, 7]).astype(first.dtype)]
    third = sample(dtype, SHAPE, seed=4)
    return [sample(dtype, SHAPE, seed=1), second, third][: len(row.operands)]


@pytest.mark.parametrize(("row", "dtype"), _CASES, ids=[f"{row.name}-{dtype}" for row, dtype in _CASES])
def test_twin(row: OpRow, dtype: str) -> None:
    operands = _operands(row, dtype)
    attrs: dict[str, Any] = {"a_valid": (4, 12), "b_valid": (3, 17)} if row.name.startswith("part_") else {}
    expected = TWINS[row.name](*operands, **attrs)
    assert_same_bits(row.function(*operands, profile="a2a3", **attrs), expected)


@pytest.mark.parametrize("name", ["row_sum", "col_sum"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_ordinary_values(name: str, dtype: str) -> None:
    """Without infinities and NaN in the way, every rounding of the chain shows."""
    x = sample(dtype, (2, 37, 50), seed=5, moderate=True)
    assert_same_bits(OP_TABLE[name].function(x, profile="a2a3"), STRICT[name](x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_all_pairs_of_special_values(dtype: str) -> None:
    values = specials(STORAGE[dtype])
    a = np.repeat(values, len(values)).reshape(1, len(values), -1)
    b = np.tile(values, len(values)).reshape(a.shape)
    for name in ("add", "sub", "mul", "div", "maximum", "minimum"):
        assert_same_bits(OP_TABLE[name].function(a, b, profile="a2a3"), STRICT[name](a, b), a, b)


@pytest.mark.parametrize("dtype", [*FLOATS, "INT8", "INT32", "UINT16"])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
def test_scalar_operands(name: str, dtype: str) -> None:
    """A number, and one number for each lane."""
    a = sample(dtype, SHAPE, seed=3)
    number: Any = 0.3 if dtype in FLOATS else 3
    for scalar in (number, np.array([number, 5 * number])):
        assert_same_bits(OP_TABLE[name].function(a, scalar, profile="a2a3"), STRICT[name](a, scalar), a)


@pytest.mark.parametrize("name", ["add", "maximum", "row_expand_mul", "matmul"])
def test_one_lane_combines_with_many(name: str) -> None:
    a, b = sample("FP32", (1, 6, 6), seed=1), sample("FP32", (3, 6, 6), seed=2)
    if name == "row_expand_mul":
        b = np.ascontiguousarray(b[..., :1])
    function = OP_TABLE[name].function
    alone = np.concatenate([function(a, b[lane : lane + 1], profile="a2a3") for lane in range(3)])
    assert_same_bits(function(a, b, profile="a2a3"), alone)


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", FLOATS)
def test_casts_from_floats(source: str, mode: str, profile: str) -> None:
    dtype = STORAGE[source]
    integral = np.arange(-6, 6.5, 0.25).astype(np.float32).astype(dtype)
    # Values next to the FP16 and INT limits, where rounding decides about overflow.
    limits = np.array([65504, 65519.9, 65520, 65535.9, 65536, 127.5, 128, 255.5, 32767.5, 2147483520, 2147483648, 3e9])
    with np.errstate(over="ignore"):
        limits = np.concatenate([limits, -limits]).astype(np.float32).astype(dtype)
    x = np.concatenate([specials(dtype), integral, limits, sample(source, (400,), seed=4)])[None]
    for target in (*FLOATS, *INTS):
        if target != source:
            assert_same_bits(convert(x, target, mode, profile), strict_convert(x, STORAGE[target], mode, profile), x)


@pytest.mark.parametrize("source", INTS)
def test_casts_from_integers(source: str) -> None:
    dtype = STORAGE[source]
    x = np.concatenate([specials(dtype), sample(source, (300,), seed=6)])[None]
    for target in (*FLOATS, *INTS):
        if target == source or (source, target) == ("INT64", "FP32"):
            continue
        if source == "INT64" and target in FLOATS:
            continue  # rounds twice, through a double: see test_casts
        assert_same_bits(convert(x, target, "rint"), strict_convert(x, STORAGE[target], "rint", "a2a3"), x)
