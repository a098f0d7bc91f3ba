"""Compute operators: one function for each row of the operator table.

Functions whose call is `pl.name(x, ...)` with tiles and numbers only are made from their row; those that take
keywords of their own stand below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.run import require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.numerics.optable import OP_TABLE, OpRow
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError, UnsupportedError

_MODES = ("none", "rint", "round", "floor", "ceil", "trunc", "odd")


def _plain(row: OpRow) -> Callable[..., Tile]:
    name, count = row.name, len(row.operands)

    def operator(*operands: Any, high_precision: bool = False) -> Tile:
        # High precision changes no bit on a2a3's reference (pto-isa: docs/isa/TEXP.md).
        run = require_run(f"pl.{name}")
        if len(operands) != count and not (row.variadic and len(operands) > count):
            raise KernelError(
                "PTO206",
                f"pl.{name} takes {count} operands",
                site=run.site(),
                values=f"got {len(operands)}",
                hint=f"see `pto-sim ops {name}`",
            )
        return run.compute.apply(name, operands, {})

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
    if not isinstance(x, (Tile, Tensor)):
        return _cast_scalar(x, target_type)
    name = _MODES[mode] if isinstance(mode, int) and 0 <= mode < len(_MODES) else mode
    if name not in _MODES:
        raise KernelError(
            "PTO206",
            "pl.cast has no such mode",
            site=run.site(),
            values=f"mode {mode!r}",
            hint=f"use one of {', '.join(_MODES)}",
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
    return run.compute.apply("matmul", (a, b), {"a_trans": bool(a_trans), "b_trans": bool(b_trans)})


def matmul_acc(acc: Tile, a: Any, b: Any, a_trans: bool = False, b_trans: bool = False, init_cond: Any = None) -> Tile:
    """acc + a @ b, in place: the accumulator's old name is dead afterwards."""
    run = require_run("pl.matmul_acc")
    if init_cond is not None:
        raise UnsupportedError("pl.matmul_acc(init_cond=)", site=run.site(), hint="use pl.matmul in the first step")
    return run.compute.apply("matmul_acc", (acc, a, b), {"a_trans": bool(a_trans), "b_trans": bool(b_trans)})


def gather(x: Any, dim: int = -1, index: Any = None, **other: Any) -> Tile:
    """out[b, k] = x[b, index[b, k]]. The mask and compare forms are not modelled."""
    run = require_run("pl.gather")
    if other or index is None or dim not in (-1, 1):
        raise UnsupportedError("this form of pl.gather", site=run.site(), hint="pl.gather(x, dim=-1, index=i)")
    return run.compute.apply("gather", (x, index), {})


def transpose(x: Any, axis1: int = 0, axis2: int = 1) -> Tile:
    """Two axes exchanged."""
    return require_run("pl.transpose").compute.apply("transpose", (x,), {"axis1": axis1, "axis2": axis2})


_SPECIAL = ("cast", "matmul", "matmul_acc", "gather", "transpose", "full", "arange")
globals().update({name: _plain(row) for name, row in OP_TABLE.items() if name not in _SPECIAL})
__all__ = [*(name for name in OP_TABLE if name not in ("full", "arange"))]
