"""Products of one row stay whole, and a subtraction keeps its tile's type."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.program.errors import KernelError

CORE = pl.Level.CORE_GROUP
K, N = 512, 16


@pl.jit
def one_row(
    a: pl.Tensor[[16, K], pl.BF16],
    b: pl.Tensor[[K, N], pl.BF16],
    bias: pl.Tensor[[1, N], pl.FP32],
    alone: pl.Out[pl.Tensor[[16, N], pl.FP32]],
    twice: pl.Out[pl.Tensor[[16, N], pl.FP32]],
    biased: pl.Out[pl.Tensor[[16, N], pl.FP32]],
):
    with pl.at(level=CORE):
        row = pl.load(a, [0, 0], [1, K])
        matrix = pl.load(b, [0, 0], [K, N])
        pl.store(pl.gemv(row, matrix, acc_phase="final"), [0, 0], alone)
        total = pl.gemv(row, matrix, acc_phase="partial")
        pl.store(pl.gemv_acc(total, row, matrix, acc_phase="final"), [0, 0], twice)
        pl.store(pl.gemv_bias(row, matrix, pl.load(bias, [0, 0], [1, N]), acc_phase="final"), [0, 0], biased)


def chain(start: np.ndarray, row: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """start, then one product after the other: a chain over the whole of K, each sum rounded to FP32."""
    total = start.astype(np.float32)
    for k in range(K):
        total = total + row[k] * matrix[k]
    return total


def test_one_row_is_one_chain_over_k_with_every_acc_phase() -> None:
    generator = np.random.default_rng(3)
    a, b = (generator.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((16, K), (K, N)))
    bias = generator.standard_normal((1, N)).astype(np.float32)
    outs = [np.zeros((16, N), np.float32) for _ in range(3)]
    one_row(a, b, bias, *outs)
    row, matrix, zero = a[0].astype(np.float32), b.astype(np.float32), np.zeros(N, np.float32)
    alone = chain(zero, row, matrix)
    assert outs[0][0].tolist() == alone.tolist()
    assert outs[1][0].tolist() == (alone + alone).tolist()
    np.testing.assert_allclose(outs[2][0], alone + bias[0], rtol=1e-4, atol=1e-4)
    cut = chain_in_blocks(row, matrix)
    assert cut.tolist() != alone.tolist()  # a cut product has other bits: the test above can tell


def chain_in_blocks(row: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    total = np.zeros(N, np.float32)
    for start in range(0, K, K // 2):
        part = np.zeros(N, np.float32)
        for k in range(start, start + K // 2):
            part = part + row[k] * matrix[k]
        total = total + part
    return total


@pl.jit
def grown(x: pl.Tensor[[16, 16], pl.FP32], out: pl.InOut[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=CORE):
        t = pl.load(x, [0, 0], [16, 16], valid_shape=[4, 16])
        t = pl.tile.assemble(t, pl.load(x, [8, 0], [4, 16]), [4, 0])
        pl.store(t, [0, 0], out)


@pl.jit
def grown_by_a_subscript(x: pl.Tensor[[16, 16], pl.FP32], out: pl.InOut[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=CORE):
        t = pl.load(x, [0, 0], [16, 16], valid_shape=[4, 16])
        t[4:8, 0:16] = pl.load(x, [8, 0], [4, 16])
        pl.store(t, [0, 0], out)


@pytest.mark.parametrize("kernel", [grown, grown_by_a_subscript])
def test_a_write_that_abuts_what_is_valid_of_a_tile_makes_more_of_it_valid(kernel) -> None:
    x = np.arange(256, dtype=np.float32).reshape(16, 16)
    out = np.full((16, 16), -1, np.float32)
    kernel(x, out)
    np.testing.assert_array_equal(out, np.concatenate([x[:4], x[8:12], np.full((8, 16), -1, np.float32)]))


@pl.jit
def less(x: pl.Tensor[[8, 16], pl.INT16], out: pl.Out[pl.Tensor[[8, 16], pl.INT16]], number: pl.Scalar[pl.FP32]):
    with pl.at(level=CORE):
        pl.store(pl.sub(pl.load(x, [0, 0], [8, 16]), number), [0, 0], out)


def test_a_subtraction_takes_a_whole_number_of_another_type() -> None:
    # pypto: src/ir/op/tensor_ops/elementwise.cpp, tensor.subs keeps the tensor's type.
    x, out = np.arange(128, dtype=np.int16).reshape(8, 16), np.zeros((8, 16), np.int16)
    less(x, out, 3.0)
    assert (out == x - 3).all()


@pytest.mark.parametrize("number", [2.5, float("nan"), float("inf"), 1e9])
def test_a_number_that_the_type_cannot_hold_is_refused(number: float) -> None:
    x, out = np.zeros((8, 16), np.int16), np.zeros((8, 16), np.int16)
    with pytest.raises(KernelError, match="cannot take this value") as caught:
        less(x, out, number)
    assert caught.value.code == "PTO205" and "test_gemv.py" in str(caught.value)
