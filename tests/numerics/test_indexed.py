"""Gathers and scatters by index against loops over elements, and the errors that name the first bad index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pto_sim.numerics.index_errors import GatherIndexError, TooManyMatchesError
from pto_sim.numerics.optable import OP_TABLE, OpTypeError, infer
from tests.numerics.special_values import assert_same_bits, sample
from tests.numerics.test_optable import Type

RNG = np.random.default_rng(11)


def call(name: str, *operands: Any, profile: str = "a2a3", **attrs: Any) -> np.ndarray:
    return OP_TABLE[name].function(*operands, profile=profile, **attrs)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_gather_along_any_axis(axis: int) -> None:
    """out[i, j, k] = x with the coordinate of `axis` replaced by the index there."""
    x = sample("FP32", (2, 3, 5, 4), seed=1)
    index = RNG.integers(0, x.shape[1:][axis], (2, 2, 4, 3)).astype(np.int32)
    out = call("gather_axis", x, index, axis=axis)
    for place in np.ndindex(*index.shape):
        lane, *inner = place
        inner[axis] = index[place]
        assert_same_bits(out[place], x[(lane, *inner)])


@pytest.mark.parametrize("dtype", ["FP32", "BF16", "INT8"])
def test_scatter_keeps_the_rest_and_the_last_write(dtype: str) -> None:
    x, src = sample(dtype, (1, 4, 9), seed=1), sample(dtype, (3, 3, 6), seed=2)
    index = RNG.integers(0, 9, (3, 3, 6)).astype(np.int32)
    expected = np.repeat(x, 3, axis=0)
    for lane, row, k in np.ndindex(*index.shape):
        expected[lane, row, index[lane, row, k]] = src[lane, row, k]
    assert_same_bits(call("scatter", x, index, src), expected)


def test_scatter_of_whole_rows() -> None:
    x, src = sample("FP16", (2, 5, 7), seed=1), sample("FP16", (1, 6, 7), seed=2)
    index = np.array([[[0, 4, 4], [2, 0, 1]]], np.int32)
    expected = x.copy()
    for k, row in enumerate([0, 4, 4, 2, 0, 1]):
        expected[:, row] = src[:, k]
    assert_same_bits(call("scatter_rows", x, index, src), expected)


@pytest.mark.parametrize(("pattern", "first", "step"), [(1, 0, 2), (2, 1, 2), (3, 0, 4), (6, 3, 4), (7, 0, 1)])
def test_the_two_scatters_by_pattern(pattern: int, first: int, step: int) -> None:
    """The language's keeps the other columns, the instruction clears them."""
    dst = sample("FP32", (1, 3, 8), seed=1, moderate=True)
    src = sample("FP32", (2, 3, 8 // step), seed=2, moderate=True)
    kept, cleared = np.repeat(dst, 2, axis=0), np.zeros((2, 3, 8), np.float32)
    for out in (kept, cleared):
        out[..., first::step] = src
    assert_same_bits(call("scatter_columns", dst, src, pattern=pattern), kept)
    assert_same_bits(call("scatter_mask", dst, src, pattern=pattern), cleared)


def test_the_instruction_clears_what_a_flat_scatter_does_not_write() -> None:
    dst, src = np.full((1, 2, 4), 9, np.int32), np.array([[[5, 6, 7]]], np.int32)
    index = np.array([[[1, 6, 1]]], np.int32)
    assert call("scatter_flat", dst, src, index).tolist() == [[[0, 7, 0, 0], [0, 0, 6, 0]]]
    assert call("scatter_flat", dst, src, index, profile="cpu-sim").tolist() == [[[9, 7, 9, 9], [9, 9, 6, 9]]]


def test_positions_by_comparison() -> None:
    """Matches ascending, plus the offset; what is behind them is not written; counts stand in one row."""
    x = np.array([[[3, 1, 3, 2], [0, 0, 0, 0], [3, 3, 3, np.nan]]], np.float32)
    found = call("gather_compare", x, 3.0, cmp_mode=0, offset=10, columns=3)
    assert found[0, 0, :2].tolist() == [10, 12]
    assert found[0, 2].tolist() == [10, 11, 12]
    assert (found[0, 0, 2:].view(np.uint8) == 0xFF).all() and (found[0, 1].view(np.uint8) == 0xFF).all()
    assert call("gather_count", x, 3.0, cmp_mode=0, dtype="UINT32").tolist() == [[[2, 0, 3]]]
    greater = call("gather_count", x, np.array([0.5, 2.5]), cmp_mode=4, dtype="INT32")
    assert greater.tolist() == [[[4, 0, 3]], [[2, 0, 3]]]


def test_more_matches_than_columns() -> None:
    x = np.zeros((2, 3, 8), np.float32)
    x[1, 2] = 1
    with pytest.raises(TooManyMatchesError, match="row 2 of lane 1 has 8 matches, out_cols is 4"):
        call("gather_compare", x, 1.0, cmp_mode=0, offset=0, columns=4)


_BAD = np.array([[[0, 1], [2, 5]]], np.int32)


@pytest.mark.parametrize(
    ("name", "operands", "attrs", "extent"),
    [
        ("gather_axis", [np.zeros((1, 2, 5), np.float32), _BAD], {"axis": 1}, 5),
        ("scatter", [np.zeros((1, 2, 5), np.float32), _BAD, np.zeros((1, 2, 2), np.float32)], {}, 5),
        ("scatter_rows", [np.zeros((1, 5, 2), np.float32), _BAD, np.zeros((1, 4, 2), np.float32)], {}, 5),
        ("scatter_flat", [np.zeros((1, 1, 5), np.float32), np.zeros((1, 2, 2), np.float32), _BAD], {}, 5),
        ("mscatter", [np.zeros((1, 5), np.float32), np.zeros((1, 2, 2), np.float32), _BAD], {}, 5),
        ("mgather", [np.zeros((1, 5), np.float32), _BAD], {"coalesce": 1, "oob": 0}, 5),
    ],
)
def test_the_first_bad_index_is_named(name: str, operands: list[Any], attrs: dict[str, Any], extent: int) -> None:
    for value in (5, -1):
        changed = [np.where(x == 5, value, x).astype(np.int32) if x is _BAD else x for x in operands]
        with pytest.raises(GatherIndexError) as caught:
            call(name, *changed, **attrs)
        error = caught.value
        assert (error.lane, error.place, error.index, error.extent) == (0, (1, 1), value, extent)


def _table_index(oob: int, extent: int, value: int) -> int | None:
    """Where an index leads by mgather_remap (pto-isa: include/pto/npu/a2a3/MGather.hpp): 32 bits, unsigned."""
    unsigned = value % 2**32
    if unsigned < extent:
        return unsigned
    return {1: extent - 1, 2: unsigned % extent, 3: None}[oob]


@pytest.mark.parametrize("oob", [1, 2, 3])
def test_rows_and_elements_of_a_table_with_indices_outside(oob: int) -> None:
    table = sample("FP16", (1, 7, 3), seed=1, moderate=True)
    values = [0, 6, 7, -1, 100, -7, 3]
    rows = call("mgather", table, np.array([[values]], np.int32), coalesce=0, oob=oob)
    for place, value in enumerate(values):
        row = _table_index(oob, 7, value)
        assert_same_bits(rows[0, place], np.zeros(3, np.float16) if row is None else table[0, row])
    elements = call("mgather", table, np.array([[values, [20, 21, -2, 5, 1, 0, 40]]], np.int32), coalesce=1, oob=oob)
    for place, value in enumerate([20, 21, -2, 5, 1, 0, 40]):
        at = _table_index(oob, 21, value)
        assert_same_bits(elements[0, 1, place], np.float16(0) if at is None else table.reshape(-1)[at])


def test_the_simulator_wraps_a_negative_index_as_64_bits() -> None:
    table = np.arange(7, dtype=np.int32).reshape(1, 7)
    index = np.array([[[-1]]], np.int32)
    assert call("mgather", table, index, coalesce=1, oob=2)[0, 0, 0] == (2**32 - 1) % 7
    assert call("mgather", table, index, coalesce=1, oob=2, profile="cpu-sim")[0, 0, 0] == (2**64 - 1) % 7


def test_the_last_write_of_the_last_lane_stays_in_a_table() -> None:
    table, src = np.zeros((1, 2, 3), np.int32), np.array([[[1, 2]], [[3, 4]]], np.int32)
    index = np.array([[[5, 0]], [[5, 1]]], np.int32)
    assert call("mscatter", table, src, index).tolist() == [[[2, 4, 0], [0, 0, 3]]]


REFUSED = [
    ("scatter", [Type((4, 6), "FP32"), Type((4, 2), "INT16"), Type((4, 2), "FP32")], {}, "index of INT32"),
    ("scatter", [Type((4, 6), "BF16"), Type((4, 2), "INT32"), Type((4, 2), "BF16")], {}, "index of INT16"),
    ("scatter", [Type((400, 128), "FP16"), Type((4, 2), "INT16"), Type((4, 2), "FP16")], {}, "counts places in INT16"),
    ("scatter", [Type((4, 6), "FP32"), Type((5, 2), "INT32"), Type((5, 2), "FP32")], {}, "R at most B"),
    ("scatter_rows", [Type((4, 6), "FP32"), Type((2, 2), "INT32"), Type((3, 6), "FP32")], {}, "one source row"),
    ("scatter_mask", [Type((4, 8), "FP32"), Type((4, 3), "FP32")], {"pattern": 1}, r"\[4, 4\]"),
    ("gather_mask", [Type((4, 7), "FP32")], {"pattern": 1, "dtype": "FP32"}, "without a rest"),
    ("gather_compare", [Type((4, 8), "FP32")], {"cmp_mode": 2, "offset": 0, "columns": 4}, "eq and gt"),
    ("gather_compare", [Type((4, 8), "INT32")], {"cmp_mode": 4, "offset": 0, "columns": 4}, "INT32 with eq"),
    ("gatherb", [Type((4, 64), "FP32"), Type((4, 4), "UINT32")], {"columns": 32, "dtype": "FP32"}, "multiple of 8"),
    ("gather_axis", [Type((4, 8), "BF16"), Type((2, 8), "INT32")], {"axis": 0}, "does not take BF16"),
    ("gather_axis", [Type((4, 8), "FP32"), Type((2, 9), "INT32")], {"axis": 0}, "not larger"),
    ("mgather", [Type((64, 8), "FP32"), Type((16, 1), "INT32")], {"coalesce": 0, "oob": 0}, r"\[1, R\]"),
    ("mscatter", [Type((64,), "FP32"), Type((2, 8), "FP32"), Type((2, 4), "INT32")], {}, "for each element"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "types", "attrs", "text"), REFUSED)
def test_refused_calls(op: str, types: list[Type], attrs: dict[str, Any], text: str) -> None:
    if op == "gather_compare":
        types = [*types, Type((), "INT32", "scalar")]
    with pytest.raises(OpTypeError, match=text):
        infer(OP_TABLE[op], types, attrs)
