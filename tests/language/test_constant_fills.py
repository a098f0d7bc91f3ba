"""A loop that writes a constant is one store to the compiler, so it may stand beside stores of tiles."""

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine.run import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

ROWS = 16
LOWEST = -3.0e38


@pl.jit
def filled(x: pl.Tensor[[ROWS, 1], pl.FP32], out: pl.Out[pl.Tensor[[2 * ROWS, 1], pl.FP32]]):
    for block in pl.spmd(2):
        if block == 0:
            out[0:ROWS, :] = x[0:ROWS, :]
        else:
            for row in pl.range(ROWS):
                pl.write(out, [block * ROWS + row, 0], LOWEST)


@pl.jit
def counted(x: pl.Tensor[[ROWS, 1], pl.FP32], out: pl.Out[pl.Tensor[[2 * ROWS, 1], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[0:ROWS, :] = x[0:ROWS, :]
        for row in pl.range(ROWS - 1):  # 60 bytes: no whole blocks
            pl.write(out, [ROWS + row, 0], LOWEST)


@pl.jit
def varied(x: pl.Tensor[[ROWS, 1], pl.FP32], out: pl.Out[pl.Tensor[[2 * ROWS, 1], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[0:ROWS, :] = x[0:ROWS, :]
        for row in pl.range(ROWS):
            pl.write(out, [ROWS + row, 0], pl.read(x, [row, 0]))


def outputs(kernel):
    x = np.arange(ROWS, dtype=np.float32).reshape(ROWS, 1)
    return run_kernel(kernel, [x, np.zeros((2 * ROWS, 1), np.float32)], RunOptions(), ()).outputs["out"]


def test_a_filled_run_may_stand_beside_a_store():
    expected = np.concatenate([np.arange(ROWS), np.full(ROWS, LOWEST)]).astype(np.float32).reshape(-1, 1)
    np.testing.assert_array_equal(outputs(filled), expected)


@pytest.mark.parametrize("kernel", [counted, varied])
def test_other_loops_of_writes_may_not(kernel):
    with pytest.raises(KernelError) as caught:
        outputs(kernel)
    assert caught.value.code == "PTO243"
