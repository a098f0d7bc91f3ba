"""A tile's data goes as soon as nothing names it: a launch of 64 blocks holds 64 copies of it."""

import gc

import numpy as np

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.engine.tile import Tile
from pto_sim.program.options import RunOptions


@pl.jit
def steps(x: pl.Tensor[[64, 128], pl.FP32], out: pl.Out[pl.Tensor[[64, 128], pl.FP32]]):
    for block in pl.spmd(4, name_hint="steps"):
        row = block * 16
        total = x[row : row + 16, 0:32]
        for step in pl.range(1, 4):
            column = step * 32
            part = x[row : row + 16, column : column + 32]
            total = pl.add(total, pl.exp(part))
        for step in pl.range(0, 4):
            column = step * 32
            out[row : row + 16, column : column + 32] = total
    return out


def test_no_tile_waits_for_the_collector_of_cycles():
    x = np.ones((64, 128), np.float32)
    gc.collect()
    gc.disable()
    try:
        run_kernel(steps, [x, np.zeros_like(x)], RunOptions(), ())
        left = [found for found in gc.get_objects() if isinstance(found, Tile)]
    finally:
        gc.enable()
    assert not left
