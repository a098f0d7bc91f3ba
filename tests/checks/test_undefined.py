"""An index outside its source: a finding where the profile has a value for it, silent once it is clamped."""

from __future__ import annotations

import numpy as np

from pto_sim import language as pl
from pto_sim.checks import new_checks
from pto_sim.engine import run_kernel
from pto_sim.program.options import RunOptions


@pl.jit
def picks(x: pl.Tensor[[4, 8], pl.FP32], index: pl.Tensor[[4, 8], pl.INT32], out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:] = pl.gather(x, dim=-1, index=index)


@pl.jit
def picks_clamped(
    x: pl.Tensor[[4, 8], pl.FP32], index: pl.Tensor[[4, 8], pl.INT32], out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]
):
    with pl.at(level=pl.Level.CORE_GROUP):
        inside = pl.minimum(pl.maximum(index[:, :], 0), 7)
        out[:] = pl.gather(x, dim=-1, index=inside)


def test_the_first_bad_index_of_a_line_is_named():
    x = np.arange(32, dtype=np.float32).reshape(4, 8)
    index = np.zeros((4, 8), np.int32)
    index[1, 2], index[3, 0] = 8, -1
    for kernel, wanted in (
        (picks, [("PTO420", "gather index 8 at [1, 2] of lane 0 is outside 0..7")]),
        (picks_clamped, []),
    ):
        checks = new_checks()
        outputs = run_kernel(kernel, [x, index, np.zeros_like(x)], RunOptions(numerics="cpu-sim"), checks).outputs
        found = [finding for check in checks for finding in check.findings()]
        assert [(finding.code, finding.message) for finding in found] == wanted
        assert outputs["out"][1, 2] == (0 if wanted else x[1, 7])
