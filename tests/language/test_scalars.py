"""Scalars: division, remainders, minimum and maximum, on one block and on blocks that differ."""

from __future__ import annotations

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.program.errors import KernelError

CORE = pl.Level.CORE_GROUP


@pl.jit
def divided(x: pl.Tensor[[8, 16], pl.INT32], out: pl.Out[pl.Tensor[[8, 16], pl.INT32]]):
    with pl.at(level=CORE):
        for row in pl.range(8):
            a = pl.read(x, [row, 0])
            b = pl.read(x, [row, 1])
            pl.write(out, [row, 0], a // b)
            pl.write(out, [row, 1], a % b)
            pl.write(out, [row, 2], a / b)
            pl.write(out, [row, 3], pl.min(a, b))
            pl.write(out, [row, 4], pl.max(a, b))
            pl.write(out, [row, 5], pl.const(-7 // 2, pl.INT32))


@pl.jit
def divided_by_block(x: pl.Tensor[[8, 16], pl.INT32], out: pl.Out[pl.Tensor[[8, 16], pl.INT32]]):
    for row in pl.spmd(8):
        a = pl.read(x, [row, 0])
        b = pl.read(x, [row, 1])
        pl.write(out, [row, 0], a // b)
        pl.write(out, [row, 1], a % b)
        pl.write(out, [row, 2], a / b)
        pl.write(out, [row, 3], pl.min(a, b))
        pl.write(out, [row, 4], pl.max(a, b))
        pl.write(out, [row, 5], pl.const(-7 // 2, pl.INT32))


PAIRS = [(7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3), (-6, 3), (0, 5), (-1, 64)]


@pytest.mark.parametrize("kernel", [divided, divided_by_block])
def test_division_drops_the_fraction_and_constants_fold_as_in_python(kernel: object) -> None:
    # arith.divsi and arith.remsi; C has the same division, and Python's int() of a quotient drops the fraction.
    x, out = np.zeros((8, 16), np.int32), np.zeros((8, 16), np.int32)
    x[:, :2] = PAIRS
    kernel(x, out)  # type: ignore[operator]
    for row, (a, b) in enumerate(PAIRS):
        assert out[row, :6].tolist() == [int(a / b), a - int(a / b) * b, int(a / b), min(a, b), max(a, b), -4]


def test_division_by_zero_is_an_error_at_its_line() -> None:
    x, out = np.zeros((8, 16), np.int32), np.zeros((8, 16), np.int32)
    for kernel in (divided, divided_by_block):
        with pytest.raises(KernelError, match="divided by zero") as caught:
            kernel(x, out)
        assert caught.value.code == "PTO212"
        assert "test_scalars.py" in str(caught.value)


@pl.jit
def of_floats(x: pl.Tensor[[8, 16], pl.FP32], out: pl.Out[pl.Tensor[[8, 16], pl.FP32]]):
    with pl.at(level=CORE):
        a = pl.read(x, [0, 0])
        b = pl.read(x, [0, 1])
        pl.write(out, [0, 0], a // b)
        pl.write(out, [0, 1], a % b)
        pl.write(out, [0, 2], pl.min(a, b))
        pl.write(out, [0, 3], pl.max(a, pl.read(x, [0, 2])))


def test_floats_divide_without_flooring() -> None:
    x, out = np.zeros((8, 16), np.float32), np.zeros((8, 16), np.float32)
    x[0, :3] = -7.5, 2.0, np.nan
    of_floats(x, out)
    assert out[0, :3].tolist() == [-3.75, -1.5, -7.5]
    assert np.isnan(out[0, 3])
