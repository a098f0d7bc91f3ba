"""A slice in orchestration that overhangs its tensor is trimmed there, with a finding.

The device trims it as well (pypto: src/codegen/tensor_op_codegen.cpp, tensor.slice).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.checks import new_checks
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

WIDTH = 8
TABLE = pl.Tensor[[20], pl.INT32]
OUT = pl.Tensor[[24, 8], pl.INT32]


@pl.jit.incore
def copy_some(
    part: pl.Tensor[[WIDTH], pl.INT32], count: pl.Scalar[pl.INDEX], out: pl.Out[OUT], row: pl.Scalar[pl.INDEX]
):
    for i in pl.range(count):
        out[row + i : row + i + 1, :] = pl.full([1, 8], dtype=pl.INT32, value=pl.read(part, [i]))
    return out


@pl.jit
def overhanging(table: TABLE, out: pl.Out[OUT]):
    for first in pl.range(0, 20, WIDTH):
        part = pl.slice(table, [WIDTH], [first])
        out = copy_some(part, pl.min(WIDTH, 20 - first), out, first)
    return out


@pl.jit
def reads_beyond(table: TABLE, out: pl.Out[OUT]):
    for first in pl.range(0, 20, WIDTH):
        part = pl.slice(table, [WIDTH], [first])
        out = copy_some(part, WIDTH, out, first)
    return out


def run(kernel: Any) -> tuple[list[tuple[str, str, str]], np.ndarray]:
    checks = new_checks()
    table = np.arange(20, dtype=np.int32) * 3
    done = run_kernel(kernel, [table, np.zeros((24, 8), np.int32)], RunOptions(), checks)
    found = [finding for check in checks for finding in check.findings() if finding.code == "PTO422"]
    return [(f.severity, f.title, f.message) for f in found], done.outputs["out"]


def test_the_rest_of_a_slice_that_nobody_reads_is_trimmed() -> None:
    found, out = run(overhanging)
    message = "a window of [8] becomes [4], where the tensor [20] ends"
    assert found == [("info", "window trimmed at the end of its tensor", message)]
    np.testing.assert_array_equal(out[:20, 0], np.arange(20) * 3)


def test_reading_beyond_the_end_is_an_error() -> None:
    with pytest.raises(KernelError) as caught:
        run(reads_beyond)
    assert caught.value.code == "PTO203" and "[4, 5) of 4" in str(caught.value)


@pl.jit
def starts_outside(table: TABLE, out: pl.Out[OUT]):
    part = pl.slice(table, [WIDTH], [20])
    out = copy_some(part, 0, out, 0)
    return out


def test_a_slice_that_starts_outside_is_an_error() -> None:
    with pytest.raises(KernelError) as caught:
        run(starts_outside)
    assert caught.value.code == "PTO203" and "[20, 28) of 20" in str(caught.value)
