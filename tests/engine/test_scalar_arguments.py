"""The scalars that a launch hands to its task, as bits of their slots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.engine.scalar_arguments import scalar_argument
from pto_sim.program.options import RunOptions

T = pl.Tensor[[16, 16], pl.FP32]
X = np.ones((16, 16), np.float32)


def scalars(kernel: Any, *args: Any) -> list[list[tuple[str, str, int]]]:
    done = run_kernel(kernel, list(args), RunOptions(), ())
    return [[tuple(scalar) for scalar in task.scalars] for task in done.program.tasks]


@pytest.mark.parametrize(
    ("declared", "value", "dtype", "bits"),
    [
        ("", 7, "INT64", 7),
        ("", -1, "INT64", 2**64 - 1),
        ("INDEX", 3, "INT64", 3),
        ("INT32", -1, "INT32", 2**32 - 1),  # the rest of the slot is 0
        ("UINT8", 200, "UINT8", 200),
        ("", True, "BOOL", 1),
        ("BOOL", 0, "BOOL", 0),
        ("", 1.0, "FP32", 0x3F800000),
        ("FP32", -2, "FP32", 0xC0000000),
    ],
)
def test_the_bits_of_a_slot(declared: str, value: Any, dtype: str, bits: int) -> None:
    assert tuple(scalar_argument("n", declared, value)) == ("n", dtype, bits)


def test_a_program_that_is_not_made_for_its_scalars_passes_them() -> None:
    @pl.program
    class Program:
        @pl.function(type=pl.FunctionType.InCore)
        def shifted(self, x: T, by: pl.Scalar[pl.FP32], row: pl.Scalar[pl.INT32], o: pl.Out[T]):
            pl.store(pl.add(pl.load(x, [row, 0], [8, 16]), by), [row, 0], o)
            return o

        @pl.function(type=pl.FunctionType.Orchestration)
        def main(self, x: T, by: pl.Scalar[pl.FP32], o: pl.Out[T]):
            for i in pl.range(2):
                o = self.shifted(x, by, i * 8, o)
            return o

    found = scalars(Program.entry, X, 0.5, np.zeros_like(X))
    assert found == [[("by", "FP32", 0x3F000000), ("row", "INT32", 8 * i)] for i in range(2)]


@pl.jit
def computed(n: pl.Scalar[pl.INT32], x: T, o: pl.Out[T]):
    half = n // 2
    for i in pl.range(2):
        row = i * 8
        row8 = row + half - 8
        with pl.at(level=pl.Level.CORE_GROUP):
            row = row8  # bound before it is read
            o[row : row + half, :] = x[row8 : row8 + half, :]
    return o


def test_what_is_computed_of_constants_alone_is_one() -> None:
    """half is made of n alone, for whose value @pl.jit makes the program; row8 is not."""
    assert scalars(computed, 16, X, np.zeros_like(X)) == [[("row8", "INT64", 0)], [("row8", "INT64", 8)]]
