"""Products with an accumulator, a bias or a single row."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.engine.run import require_run
from pto_sim.engine.scalar_operands import check_condition
from pto_sim.engine.tile import Tile
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.model import ValueType

__all__ = [
    "batch_matmul", "batch_matmul_acc", "gemv", "gemv_acc", "gemv_bias", "matmul_acc", "matmul_bias", "matmul_mx",
    "matmul_mx_acc", "matmul_mx_bias",
]  # fmt: skip


def matmul_acc(acc: Tile, a: Any, b: Any, a_trans: bool = False, b_trans: bool = False, init_cond: Any = None) -> Tile:
    """acc + a @ b, in place: the accumulator's old name is dead afterwards. init_cond true: a @ b alone."""
    run = require_run("pl.matmul_acc")
    attrs = {"a_trans": bool(a_trans), "b_trans": bool(b_trans)}
    check_condition(run, "pl.matmul_acc(init_cond=)", init_cond)
    if init_cond is not None and bool(init_cond):
        if acc.ndim != 2:
            raise KernelError(
                "PTO202",
                "pl.matmul_acc(init_cond=) takes matrices",
                site=run.site(),
                values=f"accumulator {acc!r}",
                hint="loop over the batch",
            )
        if acc.window is None:
            return run.compute.apply("matmul", (a, b), attrs)
        # A product into a slice writes the accumulator that it is a slice of. -0 + x is x, whatever the sign of x.
        assert acc.dtype.numpy is not None
        acc.data = np.full((1, *acc.shape), -0.0 if acc.dtype.kind == "float" else 0, acc.dtype.numpy)
    return run.compute.apply("matmul_acc", (acc, a, b), attrs)


def matmul_bias(a: Any, b: Any, bias: Any) -> Tile:
    """a @ b + bias, a row [1, N] in the accumulator's type; the first K block brings it in."""
    run = require_run("pl.matmul_bias")
    return run.compute.apply("matmul_bias", (bias, a, b), {"a_trans": False, "b_trans": False})


_PHASES = ("unspecified", "partial", "final")
_BOX_ROWS = 16


def _one_row(what: str, a: Any, acc_phase: str) -> Tile:
    """The left operand [1, K] as the first row of a box [16, K], so the product is [16, N] with one valid row.

    pypto: src/ir/op/tile_ops/matmul.cpp, BuildGemvResultType. Raises KernelError: PTO202, PTO206 for the phase.
    """
    run = require_run(what)
    if acc_phase not in _PHASES:
        raise KernelError(
            "PTO206", f"{what} has no such acc_phase", site=run.site(), values=f"got {acc_phase!r}",
            hint=f"one of {', '.join(_PHASES)}",
        )  # fmt: skip
    if not isinstance(a, Tile) or a.ndim != 2 or a.shape[0] != 1 or (a.valid or a.shape)[0] != 1:
        raise KernelError(
            "PTO202", f"{what} takes a left operand of one row [1, K]", site=run.site(), values=f"got {a!r}",
            hint="load or slice one row; pl.matmul takes more of them",
        )  # fmt: skip
    core, row = run.task_core(what), a.resolve()
    data = np.zeros((row.shape[0], _BOX_ROWS, row.shape[2]), row.dtype)
    data[:, :1] = row
    type_ = ValueType((_BOX_ROWS, a.shape[1]), a.dtype.name, "tile")
    box = core.make_tile(data, type_, a.dtype, root=a.root)
    box.explicit, box.space, box.valid = a.explicit, a.space, a.valid or a.shape
    core.record(run.memory.signature("reshape", (a.type,), type_, ()), box.number, (a.number,))
    return box


# The compiler cuts no product of one row (pypto: docs/en/dev/passes/15-auto_tile_matmul_l0.md).
_WHOLE = (("a_trans", False), ("b_trans", False), ("manual", True))


def gemv(a: Any, b: Any, acc_phase: str = "unspecified") -> Tile:
    """a @ b for one row a [1, K]: [16, N], of which one row is valid. acc_phase: a hint, changes no value."""
    row = _one_row("pl.gemv", a, acc_phase)
    return require_run("pl.gemv").compute.apply("matmul", (row, b), dict(_WHOLE))


def gemv_acc(acc: Tile, a: Any, b: Any, acc_phase: str = "unspecified") -> Tile:
    """acc + a @ b for one row a [1, K]; acc [16, N], of which one row is valid."""
    run = require_run("pl.gemv_acc")
    row = _one_row("pl.gemv_acc", a, acc_phase)
    want = (1, (b.valid or b.shape)[1])
    if (acc.valid or acc.shape) != want:
        raise KernelError(
            "PTO202", "pl.gemv_acc needs an accumulator that is valid where the product is", site=run.site(),
            values=f"valid {list(acc.valid or acc.shape)}, product {list(want)}",
            hint=f"start with pl.gemv, or pl.set_validshape(acc, {want[0]}, {want[1]})",
        )  # fmt: skip
    return run.compute.apply("matmul_acc", (acc, row, b), dict(_WHOLE))


def gemv_bias(a: Any, b: Any, bias: Any, acc_phase: str = "unspecified") -> Tile:
    """a @ b + bias for one row a [1, K]."""
    row = _one_row("pl.gemv_bias", a, acc_phase)
    return require_run("pl.gemv_bias").compute.apply("matmul_bias", (bias, row, b), dict(_WHOLE))


def batch_matmul(a: Any, b: Any) -> Tile:
    """a @ b for every pair of matrices of the leading axes."""
    return require_run("pl.batch_matmul").compute.apply("matmul", (a, b), {"a_trans": False, "b_trans": False})


def batch_matmul_acc(acc: Tile, a: Any, b: Any) -> Tile:
    """acc + a @ b for every pair of matrices of the leading axes."""
    return matmul_acc(acc, a, b)


def _only_a5(name: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(
            f"pl.{name} on a2a3 (it exists on A5 only)",
            site=require_run(f"pl.{name}").site(),
            hint="use pl.matmul on FP16, BF16, FP32 or INT8",
        )

    refuse.__name__ = name
    refuse.__doc__ = "A5 only: a product with block scales."
    return refuse


matmul_mx = _only_a5("matmul_mx")
matmul_mx_acc = _only_a5("matmul_mx_acc")
matmul_mx_bias = _only_a5("matmul_mx_bias")
