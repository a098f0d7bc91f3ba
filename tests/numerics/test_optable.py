"""The operator table: every row is whole, rules accept what the language does and refuse the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from pto_sim.numerics.element_types import STORAGE, ScalarRangeError
from pto_sim.numerics.elementwise import IntegerDivisionError
from pto_sim.numerics.index_errors import GatherIndexError
from pto_sim.numerics.optable import OP_TABLE, OpRow, OpTypeError, infer
from pto_sim.numerics.profiles import PROFILES, check_profile
from pto_sim.numerics.typing_rules import SHAPE_RULES
from tests.numerics.special_values import assert_same_bits, sample


class Type(NamedTuple):
    shape: tuple[int, ...]
    dtype: str
    space: str = "tile"


_SHAPES: dict[str, list[tuple[int, ...]]] = {
    "same": [(4, 6), (4, 6), (4, 6)],
    "same_or_row": [(4, 6), (4, 1)],
    "cast": [(4, 6)],
    "row_reduce": [(4, 6)],
    "col_reduce": [(4, 6)],
    "row_vector": [(4, 6), (4, 1)],
    "col_vector": [(4, 6), (1, 6)],
    "matmul": [(4, 6), (6, 5)],
    "matmul_acc": [(4, 5), (4, 6), (6, 5)],
    "matmul_bias": [(1, 5), (4, 6), (6, 5)],
    "gather": [(4, 6), (4, 3)],
    "concat": [(4, 6), (4, 3)],
    "transpose": [(4, 6)],
    "fill": [],
    "packed_mask": [(4, 6), (4, 6)],
    "masked": [(4, 32), (4, 6), (4, 6)],
    "sort32": [(4, 64), (4, 64)],
    "one_row": [(1, 512), (1, 512)],
    "pattern": [(4, 8)],
    "index_shape": [(4, 6), (4, 3)],
    "blocks": [(4, 64), (4, 8)],
    "first": [(4, 8), (4, 4), (4, 4)],
    "gather_axis": [(4, 6), (3, 6)],
    "scatter": [(4, 6), (3, 2), (3, 2)],
    "scatter_rows": [(6, 5), (2, 2), (4, 5)],
    "matches": [(4, 6)],
    "row_of_rows": [(4, 6)],
    "table": [(6, 8), (1, 5)],
}
_ATTRS: dict[str, dict[str, Any]] = {
    "cast": {"target": "FP32", "mode": "rint"},
    "full": {"shape": (4, 6), "value": 3},
    "arange": {"start": 2, "shape": (1, 6)},
    "cmp": {"cmp_type": 2, "packed_mask": True},
    "mrgsort": {"block_len": 64},
    "mrgsort_lists": {"exhausted": False},
    "gather_mask": {"pattern": 2},
    "scatter_mask": {"pattern": 1},
    "scatter_columns": {"pattern": 1},
    "gather_axis": {"axis": 0},
    "gather_compare": {"cmp_mode": 0, "offset": 3, "columns": 6},
    "gather_count": {"cmp_mode": 0},
    "mgather": {"coalesce": 0, "oob": 0},
    "random": {"key": (1, 2), "counter": (3, 4, 5, 6), "shape": (4, 64), "rounds": 10},
    "tri": {"diagonal": 1, "shape": (4, 6), "upper": False},
    **{f"part_{name}": {"a_valid": (3, 6), "b_valid": (4, 5)} for name in ("add", "mul", "max", "min")},
}


_INDEX_AT = {
    "gather_flat": 1, "gatherb": 1, "scatter_flat": 2, "gather_axis": 1, "scatter": 1, "scatter_rows": 1, "mgather": 1,
    "mscatter": 2,
}  # fmt: skip


def _types(row: OpRow, dtype: str) -> list[Type]:
    types = [Type(shape, dtype) for shape in _SHAPES[row.shape_rule][: len(row.operands)]]
    if row.out_dtype_rule == "accumulator_in":
        types[0] = Type(types[0].shape, "INT32" if dtype == "INT8" else "FP32")
    if row.out_dtype_rule == "index":
        types[1] = Type(types[1].shape, "INT32")
    if row.name in _INDEX_AT:
        wide = row.name.startswith("scatter") and STORAGE[dtype].itemsize < 4
        place = _INDEX_AT[row.name]
        types[place] = Type(types[place].shape, "UINT32" if row.name == "gatherb" else "INT16" if wide else "INT32")
    if row.operands[-1:] == ("scalar",):
        types[-1] = Type((), dtype, "scalar")
    if row.name.startswith("gather_co"):
        types.append(Type((), "INT32" if dtype == "INT32" else "FP32", "scalar"))
    if row.name == "sort32":
        types[1] = Type(types[1].shape, "UINT32")
    if row.out_dtype_rule == "masked":
        types[0] = Type(types[0].shape, "UINT8")
    return types


def _operands(types: list[Type], lanes: int, moderate: bool = False) -> list[Any]:
    return [
        1 if t.space == "scalar" else sample(t.dtype, (lanes, *t.shape), seed=i, moderate=moderate)
        for i, t in enumerate(types)
    ]


def _attrs(row: OpRow, dtype: str) -> dict[str, Any]:
    attrs = dict(_ATTRS.get(row.name, {}))
    if row.out_dtype_rule in ("attr", "reinterpreted"):
        attrs["dtype"] = "UINT32" if row.name == "gather_count" else dtype
    if row.name == "sort32":
        attrs["width"] = 8 // STORAGE[dtype].itemsize
    if row.name == "gatherb":
        attrs["columns"] = 8 * 32 // STORAGE[dtype].itemsize
    return attrs


def _legal(row: OpRow, dtype: str, arrays: list[np.ndarray]) -> None:
    """Change operand values that an operator refuses."""
    if row.name == "gather" or row.name in _INDEX_AT:
        place = _INDEX_AT.get(row.name, 1)
        extent = {"gatherb": 64, "gather_axis": 4}.get(row.name, 6)
        arrays[place] = np.abs(arrays[place]) % arrays[place].dtype.type(extent)
    if ("div" in row.name or row.name in ("fmod", "rem")) and dtype[0] in "IU":
        for place in [p for p in (0, 1) if isinstance(arrays[p], np.ndarray)]:
            arrays[place] = np.where(arrays[place] == 0, 1, arrays[place]).astype(arrays[place].dtype)


_ROWS = list(OP_TABLE.values())


@pytest.mark.parametrize("row", _ROWS, ids=[row.name for row in _ROWS])
def test_inferred_types_are_those_of_the_result(row: OpRow) -> None:
    """For every row and element type: infer agrees with what the function returns, for 1 and 3 lanes."""
    assert row.shape_rule in SHAPE_RULES
    assert row.unit in ("V", "M")
    assert row.cost_class
    assert row.note
    for dtype in row.dtypes:
        attrs = _attrs(row, dtype)
        if row.name == "cast":
            attrs["target"] = {"FP32": "BF16", "UINT16": "", "UINT32": ""}.get(
                dtype, "FP32" if dtype[0] != "U" else "FP16"
            )
            attrs["target"] = "FP16" if dtype == "INT8" else attrs["target"]
            if not attrs["target"]:
                continue
        types = _types(row, dtype)
        shape, out = infer(row, types, attrs)
        for lanes in (1, 3):
            arrays = _operands(types, lanes, moderate=True)
            _legal(row, dtype, arrays)
            result = row.function(*arrays, profile="a2a3", **attrs)
            assert result.dtype == STORAGE[out]
            assert result.shape[1:] == shape
            assert result.shape[0] in (1, lanes)


@pytest.mark.parametrize("row", _ROWS, ids=[row.name for row in _ROWS])
def test_profiles_differ_only_where_the_row_says_so(row: OpRow) -> None:
    if row.profiles_differ:
        return
    for dtype in row.dtypes:
        types = _types(row, dtype)
        arrays = _operands(types, 2)
        _legal(row, dtype, arrays)
        attrs = _attrs(row, dtype)
        assert_same_bits(
            row.function(*arrays, profile="a2a3", **attrs), row.function(*arrays, profile="cpu-sim", **attrs)
        )


_SCALAR = Type((), "FP32", "scalar")

REJECTED = [
    ("add", [Type((4, 6), "FP32"), Type((4, 5), "FP32")], {}, "equal shapes"),
    ("add", [Type((4, 6), "FP32"), Type((1, 6), "FP32")], {}, "col_expand"),
    ("sub", [Type((4, 1), "FP32"), Type((4, 6), "FP32")], {}, "column on the left"),
    ("div", [Type((4, 1), "FP32"), Type((4, 6), "FP32")], {}, "column on the left"),
    ("add", [Type((4, 6), "FP32"), Type((4, 6), "BF16")], {}, "cast one"),
    ("add", [Type((4, 6), "INT32"), _SCALAR], {}, "scalar of the tile's type"),
    ("add", [Type((4, 6), "FP32")], {}, "takes 2 operands"),
    ("exp", [Type((4, 6), "INT32")], {}, "does not take INT32"),
    ("exp", [_SCALAR], {}, "must be a tile"),
    ("maximum", [Type((4, 6), "FP32"), Type((4, 1), "FP32")], {}, "one shape"),
    ("row_sum", [Type((4, 0), "FP32")], {}, "at least one element"),
    ("col_max", [Type((4, 6), "INT32")], {}, "does not take INT32"),
    ("row_expand_mul", [Type((4, 6), "FP32"), Type((6, 1), "FP32")], {}, r"\[4, 1\]"),
    ("row_expand_mul", [Type((4, 6), "BF16"), Type((4, 1), "BF16")], {}, "does not take BF16"),
    ("col_expand_add", [Type((4, 6), "FP32"), Type((4, 1), "FP32")], {}, r"\[1, 6\]"),
    ("matmul", [Type((4, 6), "BF16"), Type((5, 6), "BF16")], {}, "K is 6 and 5"),
    ("matmul", [Type((4, 6), "BF16"), Type((6, 5), "FP32")], {}, "types BF16, BF16"),
    ("matmul", [Type((4, 6), "INT32"), Type((6, 5), "INT32")], {}, "does not take INT32"),
    ("matmul_acc", [Type((4, 4), "FP32"), Type((4, 6), "BF16"), Type((6, 5), "BF16")], {}, r"\[4, 5\]"),
    ("matmul_acc", [Type((4, 5), "BF16"), Type((4, 6), "BF16"), Type((6, 5), "BF16")], {}, "types FP32"),
    ("cast", [Type((4, 6), "UINT16")], {"target": "FP32"}, "no cast between"),
    ("cast", [Type((4, 6), "FP32")], {"target": "UINT32"}, "no cast between"),
    ("cast", [Type((4, 6), "FP32")], {"target": "BF16", "mode": "up"}, "rounding mode"),
    ("gather", [Type((4, 6), "FP32"), Type((4, 3), "INT16")], {}, "index of INT32"),
    ("gather", [Type((4, 6), "FP32"), Type((3, 3), "INT32")], {}, "row counts"),
    ("concat", [Type((4, 6), "FP32"), Type((5, 6), "FP32")], {}, "row counts"),
    ("transpose", [Type((4, 6), "FP32")], {"axis1": 0, "axis2": 2}, "axes must exist"),
    ("arange", [], {"shape": (2, 6), "dtype": "INT32"}, "one row"),
    ("full", [], {"shape": (2, 6), "dtype": "FP64"}, "does not take FP64"),
]  # fmt: skip


@pytest.mark.parametrize("op, types, attrs, text", REJECTED)
def test_illegal_calls_are_refused(op: str, types: list[Type], attrs: dict[str, Any], text: str) -> None:
    with pytest.raises(OpTypeError, match=text) as caught:
        infer(OP_TABLE[op], types, attrs)
    assert caught.value.rule
    assert caught.value.values
    assert caught.value.hint


def test_scalars_must_fit_the_element_type() -> None:
    tile = np.zeros((1, 2, 2), np.int8)
    with pytest.raises(ScalarRangeError, match="300"):
        OP_TABLE["add"].function(tile, 300, profile="a2a3")
    with pytest.raises(ScalarRangeError, match="not an integer"):
        OP_TABLE["mul"].function(tile, 0.5, profile="a2a3")


def test_integer_division_by_zero_says_where() -> None:
    divisor = np.ones((2, 2, 3), np.int32)
    divisor[1, 0, 2] = 0
    with pytest.raises(IntegerDivisionError) as caught:
        OP_TABLE["div"].function(np.ones((1, 2, 3), np.int32), divisor, profile="a2a3")
    assert (caught.value.lane, caught.value.index) == (1, (0, 2))


def test_integer_division_truncates() -> None:
    a, b = np.array([[7, -7, 7, -7]], np.int32), np.array([[2, 2, -2, -2]], np.int32)
    assert OP_TABLE["div"].function(a, b, profile="a2a3").tolist() == [[3, -3, -3, 3]]


@pytest.mark.parametrize("value", [-1, 6])
def test_gather_outside_its_row(value: int) -> None:
    source = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    index = np.zeros((2, 4, 3), np.int32)
    index[1, 2, 1] = value
    with pytest.raises(GatherIndexError) as caught:
        OP_TABLE["gather"].function(source, index, profile="a2a3")
    error = caught.value
    assert (error.lane, error.row, error.column, error.index, error.extent) == (1, 2, 1, value, 6)
    assert OP_TABLE["gather"].function(source, index, profile="cpu-sim")[1, 2].tolist() == [12, 0, 12]


@pytest.mark.parametrize("dtype", ["FP32", "BF16", "INT8", "INT64"])
def test_gather_against_numpy(dtype: str) -> None:
    source = sample(dtype, (3, 4, 9), seed=1)
    index = np.random.default_rng(2).integers(0, 9, (3, 4, 7)).astype(np.int32)
    assert_same_bits(OP_TABLE["gather"].function(source, index, profile="a2a3"), np.take_along_axis(source, index, -1))


def test_concat_and_transpose() -> None:
    a, b = sample("BF16", (1, 3, 4), seed=1), sample("BF16", (2, 3, 2), seed=2)
    joined = OP_TABLE["concat"].function(a, b, profile="a2a3")
    assert_same_bits(joined[1], np.concatenate([a[0], b[1]], axis=1))
    assert_same_bits(OP_TABLE["transpose"].function(b, axis1=-1, axis2=0, profile="a2a3"), np.swapaxes(b, 1, 2))


def test_profile_names() -> None:
    assert [check_profile(name) for name in PROFILES] == ["a2a3", "cpu-sim", "fast"]
    with pytest.raises(ValueError, match="a2a3, cpu-sim, fast"):
        check_profile("ieee")
