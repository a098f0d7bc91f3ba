"""A carried name keeps the valid shape of its first binding (pypto: src/ir/transforms/convert_to_ssa_pass.cpp)."""

from __future__ import annotations

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine.run import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

CORE = pl.Level.CORE_GROUP
SHAPE = pl.Tensor[[8, 16], pl.FP32]


@pl.jit
def widened(x: SHAPE, out: pl.Out[SHAPE]):
    with pl.at(level=CORE):
        total = pl.tile.full([8, 16], dtype=pl.FP32, value=1.0)
        for _ in pl.range(2):
            part = pl.load(x, [0, 0], [8, 16], valid_shape=[4, 16])
            total = pl.neg(part)
        pl.store(pl.add(total, 2.0), [0, 0], out)


@pl.jit
def widened_by_init_values(x: SHAPE, out: pl.Out[SHAPE]):
    with pl.at(level=CORE):
        first = pl.tile.full([8, 16], dtype=pl.FP32, value=1.0)
        for _, (_total,) in pl.range(2, init_values=(first,)):
            last = pl.yield_(pl.neg(pl.load(x, [0, 0], [8, 16], valid_shape=[4, 16])))
        pl.store(pl.add(last, 2.0), [0, 0], out)


@pl.jit
def widened_by_an_arm(x: SHAPE, out: pl.Out[SHAPE]):
    with pl.at(level=CORE):
        total = pl.tile.full([8, 16], dtype=pl.FP32, value=1.0)
        if pl.read(x, [0, 1]) > 0.0:
            total = pl.neg(pl.load(x, [0, 0], [8, 16], valid_shape=[4, 16]))
        pl.store(pl.add(total, 2.0), [0, 0], out)


@pytest.mark.parametrize("kernel", [widened, widened_by_init_values, widened_by_an_arm])
def test_a_whole_name_stays_whole(kernel: object) -> None:
    x = np.arange(128, dtype=np.float32).reshape(8, 16)
    result = run_kernel(kernel, [x, np.zeros_like(x)], RunOptions(), [])  # type: ignore[arg-type]
    np.testing.assert_array_equal(result.outputs["out"][:4], 2 - x[:4])
    # The store writes the whole tile, rows that the last value does not cover included.
    assert result.written["out"] is None


@pl.jit
def narrowed(x: SHAPE, out: pl.Out[SHAPE]):
    with pl.at(level=CORE):
        part = pl.load(x, [0, 0], [8, 16], valid_shape=[4, 16])
        for _ in pl.range(2):
            part = pl.load(x, [0, 0], [8, 16], valid_shape=[2, 16])
        out[:, :] = part


def test_a_partly_valid_name_may_not_become_another() -> None:
    x = np.zeros((8, 16), np.float32)
    with pytest.raises(KernelError, match="first binding") as caught:
        narrowed(x, x.copy())
    assert caught.value.code == "PTO213"
