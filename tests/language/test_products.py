"""Where the compiler cuts a product along K, what a bias adds to, and accumulators that are windows of another.

Sums are computed one fused step after the other in FP64 and rounded to FP32: products of BF16 numbers are exact there.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import pto_sim.language as pl
from ascend_model.isa import Kind
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.numerics.l0_tiling import k_split
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions
from pto_sim.report.products import products_of

M, K, N = 64, 256, 64
CUT = 128  # the compiler's K block of [64, 256] x [256, 64] in FP32
A = pl.Tensor[[M, K], pl.FP32]
B = pl.Tensor[[K, N], pl.FP32]
C = pl.Tensor[[M, N], pl.FP32]
ROW = pl.Tensor[[1, N], pl.FP32]
RNG = np.random.default_rng(7)
a, b = (RNG.standard_normal(s).astype(ml_dtypes.bfloat16).astype(np.float32) for s in ((M, K), (K, N)))
bias = RNG.standard_normal((1, N)).astype(np.float32)


def chain(first: int, last: int) -> np.ndarray:
    """One chain over a part of K from +0: every step is exact in FP64 before it is rounded."""
    total = np.zeros((M, N), np.float32)
    for k in range(first, last):
        step = a[:, k : k + 1].astype(np.float64) * b[k : k + 1].astype(np.float64)
        total = (total.astype(np.float64) + step).astype(np.float32)
    return total


WHOLE, PARTS = chain(0, K), (chain(0, CUT), chain(CUT, K))


@pl.jit
def from_l1(x: A, y: B, o: pl.Out[C]):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[:, :] = pl.matmul(x[:, :], y[:, :])


@pl.jit
def made_by_vector(x: A, y: B, o: pl.Out[C]):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[:, :] = pl.matmul(x[:, :], pl.mul(y[:, :], 1.0))


@pl.jit
def in_l0(x: A, y: B, o: pl.Out[C]):
    with pl.at(level=pl.Level.CORE_GROUP):
        left = pl.move(pl.load(x, [0, 0], [M, K], target_memory=pl.Mem.Mat), target_memory=pl.Mem.Left)
        right = pl.move(pl.load(y, [0, 0], [K, N], target_memory=pl.Mem.Mat), target_memory=pl.Mem.Right)
        pl.store(pl.matmul(left, right), [0, 0], o)


@pl.jit
def biased(x: A, y: B, z: ROW, o: pl.Out[C]):
    with pl.at(level=pl.Level.CORE_GROUP):
        left = pl.load(x, [0, 0], [M, K], target_memory=pl.Mem.Mat)
        right = pl.load(y, [0, 0], [K, N], target_memory=pl.Mem.Mat)
        row = pl.load(z, [0, 0], [1, N], target_memory=pl.Mem.Mat)
        pl.store(pl.matmul_bias(left, right, row), [0, 0], o)


@pl.jit
def windows(x: A, y: B, o: pl.Out[C]):
    with pl.at(level=pl.Level.CORE_GROUP):
        acc = pl.create_tile([M, N], dtype=pl.FP32, target_memory=pl.Mem.Acc)
        for t in pl.range(2):
            for k0 in pl.range(0, K, CUT):
                left = pl.load(x, [0, k0], [M, CUT], target_memory=pl.Mem.Mat)
                right = pl.load(y, [k0, t * 32], [CUT, 32], target_memory=pl.Mem.Mat)
                part = pl.slice(acc, [M, 32], [0, t * 32])
                pl.matmul_acc(
                    part, pl.move(left, target_memory=pl.Mem.Left), pl.move(right, target_memory=pl.Mem.Right),
                    init_cond=(k0 == 0),
                )  # fmt: skip
        pl.store(acc, [0, 0], o)


@pl.jit
def too_large_for_l0(y: pl.Tensor[[256, 256], pl.FP16], o: pl.Out[C]):
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.move(pl.load(y, [0, 0], [256, 256], target_memory=pl.Mem.Mat), target_memory=pl.Mem.Right)
        o[:, :] = pl.full([M, N], dtype=pl.FP32, value=0.0)


def run(kernel, *arrays):
    return run_kernel(getattr(kernel, "entry", kernel), [*arrays, np.zeros((M, N), np.float32)], RunOptions(), [])


def test_operands_from_l1_are_cut_and_those_in_l0_or_from_the_vector_core_are_not() -> None:
    assert k_split(M, N, K, "FP32") == CUT
    assert (PARTS[0] + PARTS[1] != WHOLE).any()  # the two can be told apart
    np.testing.assert_array_equal(run(from_l1, a, b).outputs["o"], PARTS[0] + PARTS[1])
    np.testing.assert_array_equal(run(in_l0, a, b).outputs["o"], WHOLE)
    np.testing.assert_array_equal(run(made_by_vector, a, b).outputs["o"], WHOLE)


def test_a_bias_comes_in_with_the_first_block_through_the_bias_table() -> None:
    done = run(biased, a, b, bias)
    late = (PARTS[0] + PARTS[1]) + bias
    expected = (PARTS[0] + bias) + PARTS[1]
    assert (late != expected).any()
    np.testing.assert_array_equal(done.outputs["o"], expected)
    lowered = lower(done.program)
    kinds = np.concatenate([stream.kind for stream in lowered.workload.streams])
    assert (kinds == Kind.L1_TO_BIAS).sum() == 1
    assert (kinds == Kind.VEC).sum() == 0


def test_products_into_windows_of_an_accumulator_write_the_accumulator() -> None:
    done = run(windows, a, b)
    np.testing.assert_array_equal(done.outputs["o"], PARTS[0] + PARTS[1])
    lower(done.program)


def test_a_tile_larger_than_l0_is_refused() -> None:
    with pytest.raises(KernelError, match=r"PTO301.*does not fit right") as caught:
        run(too_large_for_l0, np.zeros((256, 256), np.float16))
    assert "131072 bytes, it holds 65536" in str(caught.value)


def test_the_report_says_how_a_product_is_cut() -> None:
    (row,) = products_of(run(from_l1, a, b).program)
    assert (row.m, row.k, row.n, row.dtype) == (M, K, N, "FP32")
    assert (row.tile_m, row.tile_k, row.tile_n, row.k_blocks) == (M, CUT, N, 2)
    (row,) = products_of(run(in_l0, a, b).program)
    assert (row.tile_k, row.k_blocks) == (K, 1)


@pl.jit
def pages(
    x: pl.Tensor[[4, 64, 128], pl.FP32],
    y: pl.Tensor[[4, 512, 128], pl.FP32],
    o: pl.Out[pl.Tensor[[4, 64, 512], pl.FP32]],
):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[:, :, :] = pl.matmul(x, y, b_trans=True, out_dtype=pl.FP32)


@pl.jit
def one_page(
    x: pl.Tensor[[1, 64, 512], pl.FP32],
    y: pl.Tensor[[1, 512, 512], pl.FP32],
    o: pl.Out[pl.Tensor[[1, 64, 512], pl.FP32]],
):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[:, :, :] = pl.matmul(x, y, b_trans=True, out_dtype=pl.FP32)


def test_operands_of_a_batch_that_exceed_l1_come_page_by_page() -> None:
    """128 and 1,024 KiB of operands beside 512 KiB of L1; a page of each is 32 and 256 KiB. One page must fit."""
    x, y = (np.arange(4 * rows * 128, dtype=np.float32).reshape(4, rows, 128) % 7 for rows in (64, 512))
    done = run_kernel(pages, [x, y, np.zeros((4, 64, 512), np.float32)], RunOptions(), [])
    np.testing.assert_array_equal(done.outputs["o"], x @ y.transpose(0, 2, 1))  # small integers: exact in any order
    assert lower(done.program).facts[-1].onchip_peak_bytes["mat"] == (32 + 256) * 1024
    big = [np.zeros(shape, np.float32) for shape in ((1, 64, 512), (1, 512, 512), (1, 64, 512))]
    with pytest.raises(KernelError, match="more L1") as caught:
        lower(run_kernel(one_page, big, RunOptions(), []).program)
    assert caught.value.code == "PTO301"


HALF = pl.Tensor[[16, 16], pl.BF16]


@pl.jit
def drained_into_l1(x: HALF, y: HALF, o: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        first = pl.load(x, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
        second = pl.load(y, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
        kept = pl.create_tile([16, 32], dtype=pl.BF16, target_memory=pl.Mem.Mat)
        kept = pl.assemble(kept, pl.matmul(first, second), [0, 0])
        kept = pl.assemble(kept, pl.matmul(first, first), [0, 16])
        pl.store(pl.matmul(kept[:, 0:16], second), [0, 0], o)


def test_a_product_assembled_into_l1_is_narrowed_to_nearest_even() -> None:
    """The first product is of integers below 2^24, so exact; the second is of an identity, so its input."""
    x = np.random.default_rng(5).integers(-20, 20, (16, 16))
    o = np.zeros((16, 16), np.float32)
    half = x.astype(ml_dtypes.bfloat16)
    drained_into_l1(half, np.eye(16, dtype=ml_dtypes.bfloat16) * 17, o)
    narrowed = (x * 17).astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float32)
    assert (narrowed != x * 17).any()
    np.testing.assert_array_equal(o, narrowed * 17)


@pl.jit
def narrowed_in_ub(x: HALF, o: pl.Out[HALF]):
    with pl.at(level=pl.Level.CORE_GROUP):
        kept = pl.create_tile([16, 16], dtype=pl.BF16)
        wide = pl.cast(pl.load(x, [0, 0], [16, 16]), target_type=pl.FP32)
        pl.store(pl.assemble(kept, wide, [0, 0]), [0, 0], o)


def test_only_the_fixpipe_narrows_in_an_assemble() -> None:
    with pytest.raises(KernelError, match="same element type"):
        narrowed_in_ub(np.zeros((16, 16), ml_dtypes.bfloat16), np.zeros((16, 16), ml_dtypes.bfloat16))
