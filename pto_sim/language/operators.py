"""Compute operators: one function for each row of the operator table.

Functions whose call is `pl.name(x, ...)` with tiles and numbers only are made from their row; those that take
keywords of their own stand below.
"""

from __future__ import annotations

import operator as op
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.run import require_run
from pto_sim.engine.scalar_operands import check_scalar_cast
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.frontend.legality.keywords import nearest
from pto_sim.language.operand_forms import (
    SCRATCH_ALLOWED,
    SCRATCH_DECIDES,
    check_precision,
    check_product_type,
    is_tile,
    without_scratch,
)
from pto_sim.language.scratch_tiles import check_scratch
from pto_sim.numerics.optable import OP_TABLE, OpRow
from pto_sim.program.dtypes import DataType
from pto_sim.program.element_support import unsupported_element
from pto_sim.program.errors import KernelError

_MODES = ("none", "rint", "round", "floor", "ceil", "trunc", "odd")


_OF_SCALARS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"add": op.add, "sub": op.sub, "mul": op.mul, "div": op.truediv}
)
"""Operators that take two scalars as well."""


def _plain(row: OpRow, alias: str = "") -> Callable[..., Any]:
    """The function of a row; alias: its scalar form, whose second operand is a number."""
    name, count, spelled = row.name, len(row.operands), f"pl.{alias or row.name}"
    takes_scratch = name in SCRATCH_ALLOWED

    def operator(*operands: Any, high_precision: bool = False) -> Any:
        run = require_run(spelled)
        if high_precision:
            check_precision(run, name, operands[0] if operands else None)
        if name in _OF_SCALARS and len(operands) == 2 and not any(isinstance(x, (Tile, Tensor)) for x in operands):
            return _OF_SCALARS[name](*operands)  # as pypto's python/pypto/language/op/unified_ops.py dispatches it
        if alias and len(operands) > 1 and isinstance(operands[1], (Tile, Tensor)):
            raise KernelError(
                "PTO202",
                f"{spelled} takes a number as its second operand",
                site=run.site(),
                values=f"got {operands[1]!r}",
                hint=f"pl.{name} takes two tiles",
            )
        attrs: dict[str, Any] = {}
        if takes_scratch:
            given = operands
            operands = without_scratch(run, name, given, count)
            if name in SCRATCH_DECIDES and len(operands) < len(given):
                attrs = {SCRATCH_DECIDES[name]: True}
        if len(operands) != count and not (row.variadic and len(operands) > count):
            raise KernelError(
                "PTO206",
                f"pl.{name} takes {count} operand{'s' if count > 1 else ''}",
                site=run.site(),
                values=f"got {len(operands)}: {', '.join(map(repr, operands))}",
                hint=f"see `pto-sim ops {name}`",
            )
        return run.compute.apply(name, operands, attrs)

    operator.__name__ = operator.__qualname__ = name
    operator.__doc__ = f"{name}({', '.join(row.operands)}): {row.note}."
    return operator


def cast(x: Any, target_type: DataType, mode: Any = "round") -> Any:
    """x in another element type. mode: none, rint, round, floor, ceil, trunc, odd, or 0 to 6. x may be a scalar."""
    run = require_run("pl.cast")
    if not isinstance(target_type, DataType):
        raise KernelError(
            "PTO206",
            "pl.cast needs target_type",
            site=run.site(),
            values=f"got {target_type!r}",
            hint="target_type=pl.FP32",
        )
    if target_type.numpy is None:
        raise unsupported_element(target_type, run.site(), "pl.cast")
    if not isinstance(x, (Tile, Tensor)):
        if mode not in ("round", _MODES.index("round")):
            raise KernelError(
                "PTO206", "a cast of a scalar has no mode", site=run.site(), values=f"mode {mode!r} with {x!r}",
                hint="leave it out, or cast the tile that the scalar is read from",
            )  # fmt: skip
        check_scalar_cast(run, target_type)
        return _cast_scalar(x, target_type)
    name = _MODES[mode] if isinstance(mode, int) and 0 <= mode < len(_MODES) else mode
    if name not in _MODES:
        raise KernelError(
            "PTO206",
            "pl.cast has no such mode",
            site=run.site(),
            values=f"mode {mode!r}; there are {', '.join(_MODES)}",
            hint=nearest(str(mode), _MODES, 'mode="{}"') or "leave it out: round",
        )
    return run.compute.apply("cast", (x,), {"target": target_type.name, "mode": name})


def _cast_scalar(x: Any, target: DataType) -> Any:
    assert target.numpy is not None
    if isinstance(x, LaneScalar):
        if target.kind == "float":
            return x._wrap(x.resolve().astype(target.numpy).astype(np.float32))
        if x.base.dtype.kind == "i" and target.nbytes == 8:
            return x
        return x._wrap(x.resolve().astype(target.numpy).astype(np.int64))
    value = np.asarray(x).astype(target.numpy)
    return float(value) if target.kind == "float" else int(value)


def matmul(
    a: Any,
    b: Any,
    out_dtype: DataType | None = None,
    a_trans: bool = False,
    b_trans: bool = False,
    c_matrix_nz: bool = False,
) -> Tile:
    """a @ b in the accumulator's type (FP32, or INT32 for INT8); out_dtype does not change the value."""
    run = require_run("pl.matmul")
    check_product_type(run, a, out_dtype)
    return run.compute.apply("matmul", (a, b), {"a_trans": bool(a_trans), "b_trans": bool(b_trans)})


def transpose(x: Any, axis1: int = 0, axis2: int = 1, tmp_tile: Any = None) -> Any:
    """Two axes exchanged: of a tensor in orchestration a view, else a tile. tmp_tile: scratch, changes no value."""
    run = require_run("pl.transpose")
    if isinstance(x, Tensor) and run.core is None:
        return x.transposed(axis1, axis2)
    if tmp_tile is not None and is_tile(x):
        check_scratch(run, "transpose", (x,), tmp_tile)
    return run.compute.apply("transpose", (x,), {"axis1": axis1, "axis2": axis2})


_SPECIAL = (
    "cast", "matmul", "matmul_acc", "matmul_bias", "gather", "transpose", "full", "arange", "cmp", "sels", "sel",
    "sort32", "mrgsort",
    "mrgsort_lists", "gather_mask", "gather_flat", "gatherb", "scatter_flat", "scatter_mask", "random", "tri",
    "gather_axis", "gather_compare", "gather_count", "scatter", "scatter_rows", "scatter_columns", "mgather",
    "mscatter", "part_add", "part_mul", "part_max", "part_min",
)  # fmt: skip
globals().update({name: _plain(row) for name, row in OP_TABLE.items() if name not in _SPECIAL})

_PLAIN_NAMES = [name for name in OP_TABLE if name not in _SPECIAL]
# The scalar forms of the tile dialect are the same operators (pypto: src/ir/op/tile_ops/elementwise.cpp: "requires
# second argument to be a ScalarType").
_SCALAR_FORMS = {
    "adds": "add", "subs": "sub", "muls": "mul", "divs": "div", "maximums": "maximum", "minimums": "minimum",
    "maxs": "maximum", "mins": "minimum", "ands": "and_", "ors": "or_", "xors": "xor_", "shls": "shl",
    "shrs": "shr", "rems": "rem", "fmods": "fmod", "addsc": "addc", "subsc": "subc",
}  # fmt: skip
globals().update({alias: _plain(OP_TABLE[name], alias) for alias, name in _SCALAR_FORMS.items()})
xor = globals()["xor_"]
__all__ = [*_PLAIN_NAMES, *_SCALAR_FORMS, "xor", "cast", "matmul", "transpose"]
