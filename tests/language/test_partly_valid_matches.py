"""Gathers by comparison and scatters by pattern whose source is partly valid.

pto-isa: include/pto/npu/a2a3/TGather.hpp (TGather_cmp goes over the source's valid rows and columns) and TScatter.hpp
(the destination's valid columns are the source's, times the pattern's stride).
"""

from __future__ import annotations

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(31)
X = RNG.integers(0, 3, (8, 32)).astype(np.float32)
BLOCK = pl.Level.CORE_GROUP
SIZE = pl.Scalar[pl.INT64]


@pl.jit
def matched(
    x: pl.Tensor[[8, 32], pl.FP32], rows: SIZE, columns: SIZE,
    found: pl.InOut[pl.Tensor[[8, 32], pl.INT32]], counts: pl.InOut[pl.Tensor[[1, 8], pl.INT32]],
):  # fmt: skip
    with pl.at(level=BLOCK):
        tile = pl.load(x, [0, 0], [8, 32], valid_shape=[rows, columns])
        tmp = pl.create_tile([8, 256], dtype=pl.UINT8)
        places, many = pl.tile.gather_compare(tile, 2.0, tmp, cmp_mode=0, out_cols=32)
        pl.store(places, [0, 0], found)
        pl.store(many, [0, 0], counts)


@pytest.mark.parametrize("profile", ["a2a3", "cpu-sim"])
@pytest.mark.parametrize(("rows", "columns"), [(8, 32), (5, 19), (8, 9), (1, 32), (3, 1)])
def test_a_comparison_goes_over_the_valid_elements(profile: str, rows: int, columns: int) -> None:
    empty = [np.zeros((8, 32), np.int32), np.zeros((1, 8), np.int32)]
    done = run_kernel(matched, [X, rows, columns, *empty], RunOptions(numerics=profile), []).outputs
    for row in range(rows):
        expected = np.flatnonzero(X[row, :columns] == 2.0)
        assert done["counts"][0, row] == expected.size
        np.testing.assert_array_equal(done["found"][row, : expected.size], expected)


@pl.jit
def spread(
    x: pl.Tensor[[8, 32], pl.FP32], rows: SIZE, columns: SIZE, into: SIZE, out: pl.InOut[pl.Tensor[[8, 64], pl.FP32]]
):
    with pl.at(level=BLOCK):
        tile = pl.load(x, [0, 0], [8, 32], valid_shape=[rows, columns])
        wide = pl.load(out, [0, 0], [8, 64], valid_shape=[rows, into])
        pl.store(pl.tile.scatter_mask(wide, tile, mask_pattern=pl.tile.MaskPattern.P1010), [0, 0], out)


@pytest.mark.parametrize(("rows", "columns"), [(8, 32), (5, 20), (8, 7)])
def test_a_pattern_spreads_the_valid_columns(rows: int, columns: int) -> None:
    before = np.full((8, 64), 9, np.float32)
    out = run_kernel(spread, [X, rows, columns, 2 * columns, before], RunOptions(), []).outputs["out"]
    expected = before.copy()
    expected[:rows, : 2 * columns] = 0
    expected[:rows, 1 : 2 * columns : 2] = X[:rows, :columns]
    np.testing.assert_array_equal(out, expected)


def test_a_pattern_needs_a_destination_as_valid_as_its_source() -> None:
    with pytest.raises(KernelError, match="PTO202") as caught:
        run_kernel(spread, [X, 8, 20, 64, np.zeros((8, 64), np.float32)], RunOptions(), [])
    assert "[8, 64] and [8, 20]" in str(caught.value) and "fillpad" in str(caught.value)
