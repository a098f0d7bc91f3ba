"""What one tile operation costs: 64 x 128 FP32 elementwise, alone and as 32 blocks in lockstep, beside plain NumPy.

The kernel loops ROUNDS times over four additions and four maxima; an eighth of a loop iteration is part of each figure.
"""

from __future__ import annotations

from benchmarks.single_thread import pin

pin()

import numpy as np

import pto_sim.language as pl
from benchmarks.measure import measure
from pto_sim.engine import run_kernel
from pto_sim.program.options import RunOptions

ROWS, COLUMNS = 64, 128
ROUNDS = 250
OPS = 8 * ROUNDS
BLOCKS = 32


@pl.jit(auto_scope=False)
def one_block(x: pl.Tensor[[ROWS, COLUMNS], pl.FP32], y: pl.Out[pl.Tensor[[ROWS, COLUMNS], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="chain"):
        a = x[0:ROWS, 0:COLUMNS]
        b = pl.add(a, 0.0)
        for _ in pl.range(ROUNDS):
            b = pl.maximum(pl.add(b, a), a)
            b = pl.maximum(pl.add(b, a), a)
            b = pl.maximum(pl.add(b, a), a)
            b = pl.maximum(pl.add(b, a), a)
        y[0:ROWS, 0:COLUMNS] = b


@pl.jit(auto_scope=False)
def many_blocks(
    x: pl.Tensor[[BLOCKS * ROWS, COLUMNS], pl.FP32], y: pl.Out[pl.Tensor[[BLOCKS * ROWS, COLUMNS], pl.FP32]]
):
    for block in pl.spmd(BLOCKS, name_hint="chain"):
        row = block * ROWS
        a = x[row : row + ROWS, 0:COLUMNS]
        b = pl.add(a, 0.0)
        for _ in pl.range(ROUNDS):
            b = pl.maximum(pl.add(b, a), a)
            b = pl.maximum(pl.add(b, a), a)
            b = pl.maximum(pl.add(b, a), a)
            b = pl.maximum(pl.add(b, a), a)
        y[row : row + ROWS, 0:COLUMNS] = b


def numpy_chain(x: np.ndarray) -> np.ndarray:
    """The same chain; NumPy makes a new array for each result, as the engine must."""
    b = x + np.float32(0)
    for _ in range(ROUNDS):
        b = np.maximum(b + x, x)
        b = np.maximum(b + x, x)
        b = np.maximum(b + x, x)
        b = np.maximum(b + x, x)
    return b


def microseconds(call, blocks: int = 1) -> float:
    """Best wall time of one operation on one block."""
    return measure(call).best_s / (OPS * blocks) * 1e6


def run() -> dict[str, float]:
    """Microseconds for one 64 x 128 operation of one block, by case."""
    rng = np.random.default_rng(0)
    wide = rng.random((BLOCKS * ROWS, COLUMNS), np.float32)
    one, options = wide[:ROWS], RunOptions(timing=False)
    simulated = run_kernel(one_block, [one, np.zeros_like(one)], options, observers=())
    np.testing.assert_array_equal(simulated.outputs["y"], numpy_chain(one))
    return {
        "pto-sim, one block": microseconds(
            lambda: run_kernel(one_block, [one, np.zeros_like(one)], options, observers=())
        ),
        "NumPy": microseconds(lambda: numpy_chain(one)),
        f"pto-sim, {BLOCKS} blocks in lockstep": microseconds(
            lambda: run_kernel(many_blocks, [wide, np.zeros_like(wide)], options, observers=()), BLOCKS
        ),
        f"NumPy, {BLOCKS} blocks as one array": microseconds(lambda: numpy_chain(wide), BLOCKS),
    }


def main() -> dict[str, float]:
    """Print and return the figures."""
    figures = run()
    print(f"one {ROWS} x {COLUMNS} FP32 operation, microseconds")
    for name, value in figures.items():
        print(f"  {name:36s} {value:8.2f}")
    return figures


if __name__ == "__main__":
    main()
