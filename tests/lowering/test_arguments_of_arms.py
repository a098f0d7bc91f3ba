"""Arguments and directions of tasks whose blocks do not come to every arm, as the compiler has them.

The patterns are those of pypto-lib's flash_mtp scripts, the directions those of the compiler's records of them
(commit 634e77bd): the name of the kernel stands beside each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.options import RunOptions

X = np.zeros((16, 32), np.float32)
ROWS = np.arange(16, dtype=np.int32).reshape(1, 16)
F = pl.Tensor[[16, 32], pl.FP32]
I = pl.Tensor[[1, 16], pl.INT32]
OFF, N = 0, 16


def directions(kernel: Any, *args: Any) -> dict[str, str]:
    """Of the last task, by tensor."""
    lowered = lower(run_kernel(kernel, [X, ROWS, np.zeros_like(X), *args], RunOptions(), ()).program)
    return dict(lowered.facts[-1].directions)


@pl.jit
def keeps_alive(x: F, rows: I, out: pl.Out[F]):
    """prefill_c4_cache_write: a row without a place writes back what is there."""
    with pl.spmd(16):
        i = pl.tile.get_block_idx()
        if pl.read(rows, [0, i]) >= 0:
            out[i : i + 1, :] = x[i : i + 1, :]
        else:
            out[i : i + 1, :] = out[i : i + 1, :]
    return out


@pl.jit
def elements(x: F, rows: I, out: pl.Out[F]):
    """prefill_idx_c4_scale_scatter: the same with elements."""
    with pl.at(level=pl.Level.CORE_GROUP):
        for i in pl.range(16):
            if pl.read(rows, [0, i]) >= 0:
                pl.write(out, [i, 0], pl.read(x, [i, 0]))
            else:
                pl.write(out, [i, 0], pl.read(out, [i, 0]))
    return out


@pl.jit
def two_stores(x: F, rows: I, out: pl.Out[F]):
    """prefill_hca_c128_state_scatter_pre: what an `if` rebinds and carries on is in place."""
    for i in pl.spmd(16):
        if pl.read(rows, [0, i]) >= 0:
            out[i : i + 1, 0:16] = x[i : i + 1, 0:16]
            out[i : i + 1, 16:32] = x[i : i + 1, 16:32]
    return out


@pl.jit
def not_used_after(x: F, rows: I, out: pl.Out[F]):
    """topk of decode_indexer: what nobody names after the `if` is not carried out of it."""
    view = pl.reshape(out, [16, 32])
    for i in pl.spmd(16):
        view[i : i + 1, :] = pl.full([1, 32], dtype=pl.FP32, value=0.0)
        if pl.read(rows, [0, i]) >= 0:
            view[i : i + 1, 0:16] = x[i : i + 1, 0:16]
    return out


@pl.jit
def then_elements(x: F, rows: I, out: pl.Out[F]):
    """prefill_hca_c128_write_map: a first value for all, then single elements."""
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = pl.full([16, 32], dtype=pl.FP32, value=0.0)
        for i in pl.range(16):
            if pl.read(rows, [0, i]) >= 0:
                pl.write(out, [i, 0], pl.read(x, [i, 0]))
    return out


@pl.jit
def in_a_loop(x: F, rows: I, out: pl.Out[F]):
    """prefill_hca_c128_kv_finalize: a loop carries the tensor before anything writes it, so that it is no read."""
    with pl.at(level=pl.Level.CORE_GROUP):
        for i in pl.range(16):
            if pl.read(rows, [0, i]) >= 0:
                out[i : i + 1, :] = x[i : i + 1, :]
    return out


@pl.jit.inline
def put(x: F, out: F, i: pl.Scalar[pl.INDEX]):
    out[i : i + 1, :] = x[i : i + 1, :]
    return out


@pl.jit
def inlined(x: F, rows: I, out: pl.Out[F]):
    for i in pl.spmd(16):
        if pl.read(rows, [0, i]) < 0:
            out = put(x, out, i)
    return out


@pl.jit
def settled_by_a_constant(x: F, rows: I, out: pl.Out[F]):
    """gate_pre_route of gate: an arm that is gone leaves no argument."""
    with pl.at(level=pl.Level.CORE_GROUP):
        out[0:8, :] = pl.full([8, 32], dtype=pl.FP32, value=1.0)
        if OFF > 0:
            out[8:16, :] = x[8:16, :]
    return out


@pl.jit
def gone_in_a_loop(x: F, rows: I, out: pl.Out[F]):
    """merge_rope_pack: the loop still carries what a dead arm would have rebound, which makes it an input."""
    with pl.at(level=pl.Level.CORE_GROUP):
        for i in pl.range(2):
            out[8 * i : 8 * i + 8, :] = pl.full([8, 32], dtype=pl.FP32, value=1.0)
            if OFF > 0:
                x[8 * i : 8 * i + 8, :] = pl.full([8, 32], dtype=pl.FP32, value=1.0)
    return out


@pl.jit
def settled_by_a_scalar(x: F, rows: I, out: pl.Out[F], n: pl.Scalar[pl.INT32]):
    """gate: `layer_id` decides whether an arm is there."""
    with pl.at(level=pl.Level.CORE_GROUP):
        out[0:8, :] = pl.full([8, 32], dtype=pl.FP32, value=1.0)
        if n >= 3:
            pl.write(rows, [0, 0], pl.read(rows, [0, 1]))
    return out


@pl.jit
def settled_by_a_range(x: F, rows: I, out: pl.Out[F], n: pl.Scalar[pl.INT32]):
    """gate_pre_route of gate: a loop variable never reaches the number of active tokens, if all are active."""
    m = pl.cast(n, pl.INDEX)
    with pl.at(level=pl.Level.CORE_GROUP):
        out[0:8, :] = pl.full([8, 32], dtype=pl.FP32, value=1.0)
        for i in pl.range(N):
            if i >= m:
                pl.write(rows, [0, i], pl.const(0, pl.INT32))
    return out


@pytest.mark.parametrize(
    ("kernel", "args", "want"),
    [
        (keeps_alive, (), {"x": "INPUT", "rows": "INPUT", "out": "INOUT"}),
        (elements, (), {"x": "INPUT", "rows": "INPUT", "out": "INOUT"}),
        (two_stores, (), {"x": "INPUT", "rows": "INPUT", "out": "INOUT"}),
        (not_used_after, (), {"x": "INPUT", "rows": "INPUT", "out": "OUTPUT_EXISTING"}),
        (then_elements, (), {"x": "INPUT", "rows": "INPUT", "out": "INOUT"}),
        (in_a_loop, (), {"x": "INPUT", "rows": "INPUT", "out": "OUTPUT_EXISTING"}),
        (inlined, (), {"x": "INPUT", "rows": "INPUT", "out": "INOUT"}),
        (settled_by_a_constant, (), {"out": "OUTPUT_EXISTING"}),
        (gone_in_a_loop, (), {"x": "INPUT", "out": "OUTPUT_EXISTING"}),
        (settled_by_a_scalar, (0,), {"out": "OUTPUT_EXISTING"}),
        (settled_by_a_scalar, (3,), {"rows": "INOUT", "out": "OUTPUT_EXISTING"}),
        (settled_by_a_range, (N,), {"out": "OUTPUT_EXISTING"}),
        (settled_by_a_range, (N - 1,), {"rows": "OUTPUT_EXISTING", "out": "OUTPUT_EXISTING"}),
    ],
)
def test_a_task_has_the_arguments_of_its_compiled_body(kernel: Any, args: Any, want: dict[str, str]) -> None:
    assert directions(kernel, *args) == want


def test_what_no_block_comes_to_orders_tasks_all_the_same() -> None:
    """The reader of an arm that is not taken waits for the writer before it."""

    @pl.jit
    def kernel(x: F, rows: I, out: pl.Out[F]):
        s = pl.create_tensor([16, 32], dtype=pl.FP32)
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="writer"):
            s[:, :] = pl.neg(x)
        with pl.spmd(16, name_hint="reader"):
            i = pl.tile.get_block_idx()
            if pl.read(rows, [0, i]) < 0:
                out[i : i + 1, :] = s[i : i + 1, :]
            else:
                out[i : i + 1, :] = x[i : i + 1, :]
        return out

    tasks = lower(run_kernel(kernel, [X, ROWS, np.zeros_like(X)], RunOptions(), ()).program).workload.tasks
    names = {task.id: task.name for task in tasks}
    (reader,) = [task for task in tasks if task.name == "reader"]
    assert "writer" in {names[edge.producer] for edge in reader.edges}
