"""Mask patterns and concats of partly valid tiles: the results are packed, and valid everywhere.

pto-isa: include/pto/npu/a2a3/TGather.hpp (one vreducev2 for all rows) and TConcat.hpp (the second tile starts at the
first one's valid columns); include/pto/cpu/TGather.hpp and TConcat.hpp give the same values.
"""

from __future__ import annotations

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(29)
X = RNG.standard_normal((8, 32)).astype(np.float32)
Y = RNG.standard_normal((8, 16)).astype(np.float32)
BLOCK = pl.Level.CORE_GROUP
SIZE = pl.Scalar[pl.INT64]


@pl.jit
def picked(x: pl.Tensor[[8, 32], pl.FP32], rows: SIZE, columns: SIZE, out: pl.InOut[pl.Tensor[[8, 16], pl.FP32]]):
    with pl.at(level=BLOCK):
        tile = pl.load(x, [0, 0], [8, 32], valid_shape=[rows, columns])
        pl.store(pl.tile.gather_mask(tile, mask_pattern=pl.tile.MaskPattern.P1010), [0, 0], out)


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize(("rows", "columns"), [(8, 32), (5, 19), (8, 9), (1, 32), (3, 1), (0, 0)])
def test_a_pattern_packs_its_columns_row_after_row(profile: str, rows: int, columns: int) -> None:
    out = run_kernel(picked, [X, rows, columns, np.zeros((8, 16), np.float32)], RunOptions(numerics=profile), [])
    stream = out.outputs["out"].reshape(-1)
    kept = X[:rows, 1:columns:2].reshape(-1)
    np.testing.assert_array_equal(stream[: kept.size], kept)
    assert np.isnan(stream[kept.size :]).all()  # the fill


@pl.jit
def joined(
    x: pl.Tensor[[8, 32], pl.FP32], y: pl.Tensor[[8, 16], pl.FP32], first: SIZE, second: SIZE, rows: SIZE,
    out: pl.InOut[pl.Tensor[[8, 48], pl.FP32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        left = pl.load(x, [0, 0], [8, 32], valid_shape=[rows, first])
        right = pl.load(y, [0, 0], [8, 16], valid_shape=[8, second])
        pl.store(pl.concat(left, right), [0, 0], out)


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize(("first", "second"), [(32, 16), (16, 16), (11, 5), (32, 3), (0, 7), (6, 0)])
def test_a_concat_starts_behind_the_valid_columns(profile: str, first: int, second: int) -> None:
    arguments = [X, Y, first, second, 8, np.zeros((8, 48), np.float32)]
    out = run_kernel(joined, arguments, RunOptions(numerics=profile), []).outputs["out"]
    np.testing.assert_array_equal(out[:, : first + second], np.hstack([X[:, :first], Y[:, :second]]))
    assert np.isnan(out[:, first + second :]).all()


def test_a_concat_needs_every_row() -> None:
    with pytest.raises(KernelError, match="PTO202") as caught:
        run_kernel(joined, [X, Y, 32, 16, 7, np.zeros((8, 48), np.float32)], RunOptions(), [])
    assert "every row of its tiles is valid" in str(caught.value) and "fillpad" in str(caught.value)
