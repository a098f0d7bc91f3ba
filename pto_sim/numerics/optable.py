"""The table of operators: one row for each, one function behind it.

Adding an operator is one row here and one function in the file of its kind; tests walk the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from pto_sim.numerics import casts, elementwise, expand, matmul, movement, reductions, transcendental
from pto_sim.numerics.element_types import FLOATS, INTS, STORAGE
from pto_sim.numerics.op_row import OpRow
from pto_sim.numerics.rows_indexed import INDEXED_ROWS
from pto_sim.numerics.rows_integer import INTEGER_ROWS
from pto_sim.numerics.rows_selection import SELECTION_ROWS
from pto_sim.numerics.typing_rules import OperandType, OpTypeError, infer

__all__ = ["OP_TABLE", "OpRow", "OpTypeError", "infer"]


_TILE = ("tile",)
_PAIR = ("tile", "tile")
_MIXED = ("tile", "tile_or_scalar")
_ALL = (*FLOATS, *INTS)
# Row and column expansion has no BF16 form (pto-isa: include/pto/cpu/TRowExpand.hpp).
_EXPAND = ("FP32", "FP16", "INT32", "INT16", "UINT32", "UINT16")
_EXPAND_MUL = (*_EXPAND, "UINT8")

_ELEMENTWISE = (
    OpRow(
        name="add",
        operands=_MIXED,
        dtypes=_ALL,
        shape_rule="same_or_row",
        function=elementwise.add,
        cost_class=("vadd",),
        note="IEEE, 16-bit floats rounded once; integers wrap",
    ),
    OpRow(
        name="sub",
        operands=_MIXED,
        dtypes=_ALL,
        shape_rule="same_or_row",
        function=elementwise.sub,
        cost_class=("vsub",),
        note="IEEE, 16-bit floats rounded once; integers wrap",
    ),
    OpRow(
        name="mul",
        operands=_MIXED,
        dtypes=_ALL,
        shape_rule="same_or_row",
        function=elementwise.mul,
        cost_class=("vmul",),
        note="IEEE, 16-bit floats rounded once; integers wrap",
    ),
    OpRow(
        name="div",
        operands=_MIXED,
        dtypes=_ALL,
        shape_rule="same_or_row",
        function=elementwise.div,
        cost_class=("vdiv",),
        note="IEEE; integers truncate, division by zero is an error",
    ),
    OpRow(
        name="maximum",
        operands=_MIXED,
        dtypes=_ALL,
        shape_rule="same",
        function=elementwise.maximum,
        cost_class=("vmax",),
        note="a < b ? b : a",
    ),
    OpRow(
        name="minimum",
        operands=_MIXED,
        dtypes=_ALL,
        shape_rule="same",
        function=elementwise.minimum,
        cost_class=("vmin",),
        note="b < a ? b : a",
    ),
    OpRow(
        name="neg",
        operands=_TILE,
        dtypes=_ALL,
        shape_rule="same",
        function=elementwise.neg,
        cost_class=("vmuls",),
        note="sign bit flipped; the smallest integer wraps",
    ),
    OpRow(
        name="abs",
        operands=_TILE,
        dtypes=_ALL,
        shape_rule="same",
        function=elementwise.absolute,
        cost_class=("vabs",),
        note="x < 0 ? -x : x, so -0 stays -0",
    ),
)

_TRANSCENDENTAL = (
    OpRow(
        name="exp",
        operands=_TILE,
        dtypes=FLOATS,
        shape_rule="same",
        function=transcendental.exp,
        cost_class=("vexp",),
        note="correctly rounded; FP16 through FP32",
    ),
    OpRow(
        name="log",
        operands=_TILE,
        dtypes=FLOATS,
        shape_rule="same",
        function=transcendental.log,
        cost_class=("vln",),
        note="correctly rounded",
    ),
    OpRow(
        name="sqrt",
        operands=_TILE,
        dtypes=FLOATS,
        shape_rule="same",
        function=transcendental.sqrt,
        cost_class=("vsqrt",),
        note="correctly rounded",
    ),
    OpRow(
        name="rsqrt",
        operands=_TILE,
        dtypes=("FP32", "FP16"),
        shape_rule="same",
        function=transcendental.rsqrt,
        cost_class=("vsqrt", "vdiv"),
        note="1 / sqrt(x) correctly rounded",
    ),
    OpRow(
        name="recip",
        operands=_TILE,
        dtypes=FLOATS,
        shape_rule="same",
        function=transcendental.recip,
        cost_class=("vdiv",),
        note="1 / x correctly rounded in the element type",
    ),
    OpRow(
        name="cast",
        operands=_TILE,
        attrs=("target", "mode"),
        dtypes=_ALL,
        shape_rule="cast",
        out_dtype_rule="target",
        function=casts.cast,
        cost_class=("vconv",),
        profiles_differ=True,
        note="a2a3 honours the mode and saturates; cpu-sim rounds floats to nearest even and keeps low bits",
        check=casts.check_cast,
    ),
)


def _reduce_row(
    name: str, rule: str, dtypes: tuple[str, ...], function: Callable[..., np.ndarray], cost: tuple[str, ...]
) -> OpRow:
    order = "left to right" if rule == "row_reduce" else "top to bottom"
    note = f"{order} from +0" if name.endswith("sum") else "seed element 0, strict comparison"
    return OpRow(
        name=name, operands=_TILE, dtypes=dtypes, shape_rule=rule, function=function, cost_class=cost, note=note
    )


_REDUCTIONS = (
    _reduce_row("row_sum", "row_reduce", (*FLOATS, "INT32", "INT16"), reductions.row_sum, ("vcgadd", "vadd", "vcgadd")),
    _reduce_row("row_max", "row_reduce", (*FLOATS, "INT32", "INT16"), reductions.row_max, ("vcgmax", "vmax", "vcgmax")),
    # pypto: src/ir/op/{tile,tensor}_ops/reduction.cpp, IsPtoRowMinDtype: of the reductions this one takes no BF16.
    _reduce_row(
        "row_min", "row_reduce", ("FP32", "FP16", "INT32", "INT16"), reductions.row_min, ("vcgmin", "vmin", "vcgmin")
    ),
    replace(
        _reduce_row("col_sum", "col_reduce", FLOATS, reductions.col_sum, ("vadd",)),
        attrs=("tree",),
        profiles_differ=True,
        note="top to bottom from +0; with a scratch tile a2a3 adds neighbouring rows in pairs, cpu-sim does not",
    ),
    _reduce_row("col_max", "col_reduce", FLOATS, reductions.col_max, ("vmax",)),
    _reduce_row("col_min", "col_reduce", FLOATS, reductions.col_min, ("vmin",)),
)


def _check_packed(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    vector = tiles[1]
    elements = 32 // STORAGE[vector.dtype].itemsize
    if vector.shape[-1] not in (1, elements):
        raise OpTypeError(
            "row_expand_add takes [M, N] and a column [M, 1], or 32 bytes for each row",
            f"{list(tiles[0].shape)} and {list(vector.shape)} {vector.dtype}",
            f"the second operand must be {[*vector.shape[:-1], 1]} or {[*vector.shape[:-1], elements]}",
        )


def _expand_rows() -> tuple[OpRow, ...]:
    functions = {
        "add": (expand.row_expand_add, "vadd"),
        "sub": (expand.row_expand_sub, "vsub"),
        "mul": (expand.row_expand_mul, "vmul"),
        "div": (expand.row_expand_div, "vdiv"),
        "max": (expand.row_expand_max, "vmax"),
        "min": (expand.row_expand_min, "vmin"),
    }
    rows = []
    for axis, cost in (("row", ("vbrcb",)), ("col", ())):
        for name, (function, instruction) in functions.items():
            # Only the addition takes a packed vector (pypto: src/ir/op/tile_ops/broadcast.cpp).
            packed = "; a column, or 32 bytes a row repeated" if (axis, name) == ("row", "add") else ""
            rows.append(
                OpRow(
                    name=f"{axis}_expand_{name}",
                    operands=_PAIR,
                    dtypes=_EXPAND_MUL if name == "mul" else _EXPAND,
                    shape_rule=f"{axis}_vector",
                    function=function,
                    cost_class=(*cost, instruction),
                    note="first operand op second, the vector repeated" + packed,
                    check=_check_packed if packed else None,
                )
            )
        rows.append(
            OpRow(
                name=f"{axis}_expand",
                operands=_PAIR,
                dtypes=_ALL,
                shape_rule=f"{axis}_vector",
                out_dtype_rule="expanded",
                function=expand.expand,
                cost_class=("vbrcb",) if axis == "row" else ("vcopy",),
                note="the vector repeated; the first operand only gives the shape, and may have a narrower type",
            )
        )
    return tuple(rows)


_MATMUL = (
    OpRow(
        name="matmul",
        operands=_PAIR,
        attrs=("a_trans", "b_trans", "k_split"),
        dtypes=("FP32", "FP16", "BF16", "INT8"),
        shape_rule="matmul",
        out_dtype_rule="accumulator",
        function=matmul.matmul,
        unit="M",
        cost_class=("mmad",),
        note="FP32 fused chain by ascending k from +0, one chain for each k block, chains added in order; INT8 exact",
    ),
    OpRow(
        name="matmul_acc",
        operands=("tile", "tile", "tile"),
        attrs=("a_trans", "b_trans", "k_split"),
        dtypes=("FP32", "FP16", "BF16", "INT8"),
        shape_rule="matmul_acc",
        out_dtype_rule="accumulator_in",
        function=matmul.matmul_acc,
        unit="M",
        cost_class=("mmad",),
        note="acc + chain 0 + chain 1 + ...; INT32 wraps",
    ),
    OpRow(
        name="matmul_bias",
        operands=("tile", "tile", "tile"),
        attrs=("a_trans", "b_trans", "k_split"),
        dtypes=("FP32", "FP16", "BF16", "INT8"),
        shape_rule="matmul_bias",
        out_dtype_rule="accumulator_in",
        function=matmul.matmul_bias,
        unit="M",
        cost_class=("mmad",),
        note="operands bias, a, b; (chain 0 + bias) + chain 1 + ...",
    ),
)

_MOVEMENT = (
    OpRow(
        name="gather",
        operands=_PAIR,
        dtypes=("FP32", "FP16", "INT32", "INT16"),
        shape_rule="gather",
        out_dtype_rule="index",
        function=movement.gather,
        cost_class=("vgather",),
        profiles_differ=True,
        note="an index outside the row: an error in a2a3, 0 in cpu-sim",
    ),
    OpRow(
        name="concat",
        operands=_PAIR,
        variadic=True,
        dtypes=_ALL,
        shape_rule="concat",
        function=movement.concat,
        cost_class=("vcopy",),
        note="along columns",
    ),
    OpRow(
        name="transpose",
        operands=_TILE,
        attrs=("axis1", "axis2"),
        dtypes=_ALL,
        shape_rule="transpose",
        function=movement.transpose,
        cost_class=("vnchwconv",),
        note="a copy",
    ),
    OpRow(
        name="full",
        operands=(),
        attrs=("shape", "dtype", "value"),
        dtypes=(*_ALL, "BOOL"),
        shape_rule="fill",
        out_dtype_rule="attr",
        function=movement.full,
        cost_class=("vector_dup",),
        note="the constant rounded once to the element type",
    ),
    OpRow(
        name="arange",
        operands=(),
        attrs=("start", "shape", "dtype", "descending"),
        dtypes=("INT32", "INT16", "UINT32", "UINT16"),
        shape_rule="fill",
        out_dtype_rule="attr",
        function=movement.arange,
        cost_class=("vadds",),
        note="start + j or start - j, wrapping",
    ),
)

OP_TABLE: Mapping[str, OpRow] = MappingProxyType(
    {
        row.name: row
        for row in (
            *_ELEMENTWISE,
            *_TRANSCENDENTAL,
            *_REDUCTIONS,
            *_expand_rows(),
            *_MATMUL,
            *_MOVEMENT,
            *INTEGER_ROWS,
            *SELECTION_ROWS,
            *INDEXED_ROWS,
        )
    }
)
