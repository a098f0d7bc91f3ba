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
from pto_sim.numerics.strict_indexed import STRICT_INDEXED
from pto_sim.numerics.strict_moves import STRICT_MOVES
from pto_sim.numerics.strict_selection import STRICT_SELECTION
from tests.numerics.special_values import assert_same_bits, sample, specials
from tests.numerics.test_optable import _attrs as call_attrs
from tests.numerics.test_optable import _legal as make_legal
from tests.numerics.test_optable import _operands as call_operands
from tests.numerics.test_optable import _types as call_types

TWINS = {**STRICT, **STRICT_SELECTION}
MOVES = {**STRICT_MOVES, **STRICT_INDEXED}
_ARITHMETIC = [row for row in OP_TABLE.values() if row.name in TWINS and row.unit == "V"]
_CASES = [(row, dtype) for row in _ARITHMETIC for dtype in row.dtypes]
SHAPE = (2, 5, 19)


def test_every_row_has_a_twin() -> None:
    assert set(OP_TABLE) == set(TWINS) | set(MOVES) | {"cast"}


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


_MOVES = [(name, dtype) for name in MOVES for dtype in OP_TABLE[name].dtypes]


@pytest.mark.parametrize(("name", "dtype"), _MOVES)
def test_twin_of_a_move(name: str, dtype: str) -> None:
    row = OP_TABLE[name]
    types, attrs = call_types(row, dtype), call_attrs(row, dtype)
    ordered = "sort" in name  # a NaN has no place in an order
    for lanes in (1, 2):
        operands = call_operands(types, lanes, moderate=ordered)
        make_legal(row, dtype, operands)
        assert_same_bits(row.function(*operands, profile="a2a3", **attrs), MOVES[name](*operands, **attrs))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
@pytest.mark.parametrize("cmp_type", range(6))
def test_comparisons_of_all_pairs_of_special_values(dtype: str, cmp_type: int) -> None:
    values = specials(STORAGE[dtype])
    a, b = (np.ascontiguousarray(x)[None] for x in np.meshgrid(values, values))
    for packed in (True, False):
        assert_same_bits(
            OP_TABLE["cmp"].function(a, b, cmp_type=cmp_type, packed_mask=packed),
            STRICT_MOVES["cmp"](a, b, cmp_type=cmp_type, packed_mask=packed),
        )


@pytest.mark.parametrize("rounds", [7, 10])
@pytest.mark.parametrize("dtype", ["UINT32", "INT32"])
@pytest.mark.parametrize(
    ("shape", "valid"), [((3, 8), None), ((2, 264), (2, 260)), ((2, 512), (1, 100)), ((1, 65), None)]
)
def test_random_words(rounds: int, dtype: str, shape: tuple[int, int], valid: tuple[int, int] | None) -> None:
    """The counter carries over 128 bits."""
    attrs: dict[str, Any] = {"key": (0xFFFFFFFF, 0x80000001), "shape": shape, "valid": valid, "dtype": dtype}
    for counter in ((1, 2, 3, 4), (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFF0, 0, 7, 0)):
        made = OP_TABLE["random"].function(counter=counter, rounds=rounds, **attrs)
        assert_same_bits(made, STRICT_MOVES["random"](counter=counter, rounds=rounds, **attrs))


@pytest.mark.parametrize("name", ["row_sum", "col_sum"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_ordinary_values(name: str, dtype: str) -> None:
    """Without infinities and NaN in the way, every rounding of the chain shows."""
    x = sample(dtype, (2, 37, 50), seed=5, moderate=True)
    assert_same_bits(OP_TABLE[name].function(x, profile="a2a3"), STRICT[name](x))


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 16, 37])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_column_sum_with_a_scratch_tile_is_a_tree(rows: int, dtype: str) -> None:
    for moderate in (True, False):
        x = sample(dtype, (2, rows, 20), seed=6, moderate=moderate)
        row = OP_TABLE["col_sum"]
        assert_same_bits(row.function(x, tree=True, profile="a2a3"), STRICT["col_sum"](x, tree=True))
        assert_same_bits(row.function(x, tree=True, profile="cpu-sim"), STRICT["col_sum"](x))


_PAIRS = [
    (name, dtype)
    for name in ("add", "sub", "mul", "div", "maximum", "minimum", "fmod", "rem", "prelu", "and_", "or_", "xor_",
                 "shl", "shr", "row_expand_expdif")
    for dtype in OP_TABLE[name].dtypes
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype"), _PAIRS)
def test_all_pairs_of_special_values(name: str, dtype: str) -> None:
    values = specials(STORAGE[dtype])
    a = np.repeat(values, len(values)).reshape(1, len(values), -1)
    b = np.tile(values, len(values)).reshape(a.shape)
    if dtype in INTS and name in ("div", "fmod", "rem"):
        b = np.where(b == 0, np.array(3, b.dtype), b)
    twin = TWINS.get(name) or STRICT_MOVES[name]
    for profile in ("a2a3", "cpu-sim"):
        assert_same_bits(OP_TABLE[name].function(a, b, profile=profile), twin(a, b), a, b)


_SINGLE = [
    (row.name, dtype) for row in _ARITHMETIC if row.operands == ("tile",) and row.shape_rule == "same"
    for dtype in row.dtypes
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype"), _SINGLE)
def test_special_values_of_one_operand(name: str, dtype: str) -> None:
    x = specials(STORAGE[dtype]).reshape(1, 1, -1)
    for profile in ("a2a3", "cpu-sim"):
        assert_same_bits(OP_TABLE[name].function(x, profile=profile), TWINS[name](x), x)


@pytest.mark.parametrize(
    ("name", "dtype"), [(r.name, d) for r in _ARITHMETIC if "reduce" in r.shape_rule for d in r.dtypes]
)
def test_reductions_from_each_special_value(name: str, dtype: str) -> None:
    """Every special value first, then second, then last of a row or column."""
    values = specials(STORAGE[dtype])
    ones = np.ones((3, len(values), 4), values.dtype)
    for lane, place in enumerate((0, 1, 3)):
        ones[lane, :, place] = values
    x = ones if name.startswith("row") else np.ascontiguousarray(ones.swapaxes(1, 2))
    assert_same_bits(OP_TABLE[name].function(x, profile="a2a3"), TWINS[name](x))


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
