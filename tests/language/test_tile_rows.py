"""A row of a tile that the author loaded is a tile of one row; a row of a tensor has one dimension."""

import numpy as np

import pto_sim.language as pl

X = np.arange(16 * 32, dtype=np.float32).reshape(16, 32)


@pl.program
class RowOfATile:
    @pl.function(type=pl.FunctionType.InCore)
    def main(
        self, x: pl.Tensor[[16, 32], pl.FP32], row: pl.Scalar[pl.INDEX], out: pl.Out[pl.Tensor[[1, 32], pl.FP32]]
    ) -> pl.Tensor[[1, 32], pl.FP32]:
        t: pl.Tile[[16, 32], pl.FP32] = pl.load(x, [0, 0], [16, 32])
        part: pl.Tile[[1, 32], pl.FP32] = t[row]
        total: pl.Tile[[1, 32], pl.FP32] = pl.add(part, pl.slice(t, [1, 32], [0, 0], drop_dims=[0]))
        return pl.store(total, [0, 0], out)


@pl.jit
def row_of_a_tensor(x: pl.Tensor[[16, 32], pl.FP32], out: pl.Out[pl.Tensor[[32], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:] = x[3]


def test_a_row_of_a_tile_has_two_dimensions() -> None:
    out = np.zeros((1, 32), np.float32)
    RowOfATile(X, 3, out)
    np.testing.assert_array_equal(out, X[3:4] + X[0:1])


def test_a_row_of_a_tensor_has_one() -> None:
    out = np.zeros(32, np.float32)
    row_of_a_tensor(X, out)
    np.testing.assert_array_equal(out, X[3])
