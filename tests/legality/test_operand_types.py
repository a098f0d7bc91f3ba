"""Every operand position of every operator takes the element types below and no other: nothing is converted unasked.

The exceptions to "of the first operand's type" are those of pypto: src/ir/op/{tile_ops,tensor_ops}/*.cpp and pto-isa:
include/pto/npu/a2a3/T*.hpp.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pto_sim.engine import run_kernel
from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.optable import OP_TABLE, OpRow, OpTypeError, infer
from pto_sim.program.errors import PtoError
from pto_sim.program.options import RunOptions
from tests.legality.rule_case import load
from tests.numerics.test_optable import Type, _attrs, _types

_ANY_INTEGER = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"}
_PACKED = {"INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32"}
_FREE_OF_THE_FIRST = {"gather", "gather_axis", "gather_flat", "gatherb", "mgather", "sort32"}
"""The second operand is an index or a list of positions, so the first may have any type of its row."""

_EXPANDED_BY = {
    "FP32": {"FP32", "FP16", "BF16", "BOOL", *_ANY_INTEGER}, "FP16": {"FP16", "BOOL", *_ANY_INTEGER},
    "BF16": {"BF16", "BOOL", *_ANY_INTEGER}, "INT64": {"BOOL", *_ANY_INTEGER},
    "INT32": {"INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8", "BOOL"},
    "INT16": {"INT16", "INT8", "UINT16", "UINT8", "BOOL"},
    "INT8": {"INT8", "UINT8"}, "UINT8": {"UINT8"}, "UINT16": {"UINT16", "INT8", "UINT8", "BOOL"},
    "UINT32": {"UINT32", "INT16", "INT8", "UINT16", "UINT8", "BOOL"},
}  # fmt: skip
"""Of row_expand and col_expand only the vector is read: the target has any type that yields to the vector's."""


def _allowed(row: OpRow, dtype: str, place: int) -> set[str]:
    """The types of operand `place` when the others are those of a legal call on `dtype`."""
    two_bytes = STORAGE[dtype].itemsize == 2
    if row.name in ("sel", "sels") and place == 0:
        return _PACKED
    if row.name in ("row_expand", "col_expand"):
        vectors = {vector for vector, targets in _EXPANDED_BY.items() if dtype in targets}
        return _EXPANDED_BY[dtype] if place == 0 else vectors
    if row.name == "sort32" and place == 1:
        return {"INT32", "UINT32"}
    if row.name in ("gather", "gather_axis", "gather_flat") and place == 1:
        return {"INT16", "INT32"} if two_bytes else {"INT32"}
    if row.name in ("gatherb", "mgather") and place == 1:
        return {"UINT32"} if row.name == "gatherb" else {"INT32"}
    if row.name == "scatter_rows" and place == 1:
        return _ANY_INTEGER
    if row.name in _FREE_OF_THE_FIRST or len(row.operands) == 1:
        return set(row.dtypes)
    return {_types(row, dtype)[place].dtype}


def _accepted(row: OpRow, dtype: str, place: int) -> set[str]:
    types, attrs = _types(row, dtype), _attrs(row, dtype)
    accepted = set()
    for other in STORAGE:
        changed = [Type(t.shape, other, t.space) if p == place else t for p, t in enumerate(types)]
        try:
            infer(row, changed, attrs)
        except OpTypeError as error:
            assert error.hint, row.name
        else:
            accepted.add(other)
    return accepted


_OTHERWISE = ("cast", "gather_compare", "gather_count")  # tests/numerics/test_cast_table.py; their numbers below
_NUMBERS = [row for row in OP_TABLE.values() if "scalar" in row.operands]
_ROWS = [row for row in OP_TABLE.values() if row.operands and row.name not in _OTHERWISE and row not in _NUMBERS]
_ANY_RANK = {"gatherb", "mgather", "scatter_flat", "gather_flat", "mscatter"}
_JOINT = [row for row in _ROWS if len(row.operands) > 1 and row.name not in _ANY_RANK]


@pytest.mark.parametrize("row", _ROWS, ids=[row.name for row in _ROWS])
def test_each_position_refuses_every_other_type(row: OpRow) -> None:
    for dtype in row.dtypes:
        for place in range(len(row.operands)):
            assert _accepted(row, dtype, place) == _allowed(row, dtype, place), (dtype, place)


@pytest.mark.parametrize("row", _JOINT, ids=[row.name for row in _JOINT])
def test_each_position_refuses_another_rank(row: OpRow) -> None:
    types, attrs = _types(row, row.dtypes[0]), _attrs(row, row.dtypes[0])
    for place in range(len(types)):
        changed = [Type((2, *t.shape), t.dtype) if p == place else t for p, t in enumerate(types)]
        with pytest.raises(OpTypeError):
            infer(row, changed, attrs)


@pytest.mark.parametrize("name", ["gather_compare", "gather_count"])
def test_a_number_that_is_compared_has_the_tiles_kind(name: str) -> None:
    row = OP_TABLE[name]
    attrs = _attrs(row, "INT32")
    with pytest.raises(OpTypeError):
        infer(row, [Type((4, 6), "INT32"), Type((), "FP32", "scalar")], attrs)


@pytest.mark.parametrize("name", ["sel", "sels"])
@pytest.mark.parametrize("mask, enough", [("UINT8", 5), ("UINT16", 3), ("UINT32", 2)])
def test_a_mask_row_has_a_bit_for_each_element(name: str, mask: str, enough: int) -> None:
    """40 elements need 5 bytes, 3 words of 16 bits or 2 of 32."""
    row = OP_TABLE[name]

    def types(words: int) -> list[Type]:
        return [Type((4, words), mask), Type((4, 40), "FP32"), Type((4, 40), "FP32")]

    assert infer(row, types(enough), {}) == ((4, 40), "FP32")
    with pytest.raises(OpTypeError, match="one mask bit"):
        infer(row, types(enough - 1), {})


@pytest.mark.parametrize("row", _NUMBERS, ids=[row.name for row in _NUMBERS])
def test_a_tile_where_a_number_belongs_is_refused(row: OpRow) -> None:
    for dtype in row.dtypes:
        assert infer(row, [Type((4, 6), dtype), Type((), dtype, "scalar")], {}) == ((4, 6), dtype)
        with pytest.raises(OpTypeError, match="must be a number"):
            infer(row, [Type((4, 6), dtype), Type((4, 6), dtype)], {})


_CALLS = [
    *(f"pl.tile.{name}(t, t)" for name in ("adds", "subs", "muls", "divs", "maximums", "minimums", "fmods", "cmps")),
    "pl.tile.rems(t, t, t)", "pl.tile.addsc(t, t, t)", "pl.tile.subsc(t, t, t)", "pl.tile.lrelu(t, t)",
]  # fmt: skip


@pytest.mark.parametrize("call", _CALLS)
def test_a_scalar_form_refuses_a_tile(call: str, tmp_path: Path) -> None:
    error = _error(call, tmp_path)
    assert error.code == ("PTO206" if "cmps" in call else "PTO202")
    assert "number" in error.rule
    assert error.site is not None and error.site.line == 8
    assert error.hint


def test_a_scatter_names_an_operand_that_it_would_leave_out(tmp_path: Path) -> None:
    error = _error("pl.scatter(x, x, x, x)", tmp_path)
    assert (error.code, error.site and error.site.line) == ("PTO206", 8)


@pytest.mark.parametrize(
    "call",
    [
        "pl.gather(t, dim=-1, index=x)", "pl.scatter(x, dim=-1, index=x, src=t)", "pl.tensor.add(t, t)",
        "pl.tile.add(x[:, :], 1.0)", "pl.relu(x[:, :])", "pl.lrelu(x[:, :], 0.1)", "pl.addc(t, t, x[:, :])",
    ],
)  # fmt: skip
def test_an_operator_of_one_dialect_refuses_the_other(call: str, tmp_path: Path) -> None:
    error = _error(call, tmp_path)
    assert (error.code, error.site and error.site.line) == ("PTO249", 8)
    assert "tiles" in str(error) or "tensors" in str(error)


@pytest.mark.parametrize(
    "call", ["pl.tensor.relu(t)", "pl.tensor.load(x, [0, 0], [16, 32])", "pl.tile.create_tensor([8, 8], pl.FP32)"]
)
def test_a_namespace_has_the_operators_of_its_dialect(call: str, tmp_path: Path) -> None:
    error = _error(call, tmp_path)
    assert (error.code, error.site and error.site.line) == ("PTO201", 8)


_SOURCE = """
import pto_sim.language as pl

@pl.jit
def kernel(x: pl.Tensor[[16, 32], pl.FP32], out: pl.Out[pl.Tensor[[16, 32], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        t = pl.load(x, [0, 0], [16, 32])
        r = {call}
        pl.store(t, [0, 0], out)
"""


def _error(call: str, tmp_path: Path) -> PtoError:
    module, _ = load(_SOURCE.format(call=call), tmp_path)
    with pytest.raises(PtoError) as raised:
        run_kernel(module.kernel, [np.ones((16, 32), np.float32), np.zeros((16, 32), np.float32)], RunOptions(), [])
    return raised.value
