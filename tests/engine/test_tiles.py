"""Loads, views, stores, valid shapes, products and launch forms, against NumPy written from the language's rules."""

import ml_dtypes
import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(7)
X = RNG.standard_normal((32, 64)).astype(np.float32)


def outputs(kernel, *args, **options):
    return run_kernel(kernel, list(args), RunOptions(**options), []).outputs


@pl.jit(auto_scope=False)
def edge_tiles(x: pl.Tensor[[30, 50], pl.FP32], out: pl.Out[pl.Tensor[[30, 64], pl.FP32]]):
    for i in pl.spmd(4, name_hint="edge"):
        rows = pl.min(30 - i * 8, 8)
        t = pl.load(x, [i * 8, 0], [8, 64], valid_shape=[rows, 50])
        t = pl.mul(t, 2.0)
        s = pl.row_sum(t, pl.create_tile([8, 64], dtype=pl.FP32))
        out = pl.store(t, [i * 8, 0], out)
        pl.store(s[0:rows, 0:1], [i * 8, 63], out)


def test_valid_shape_narrows_loads_compute_and_stores():
    x = X[:30, :50].copy()
    got = run_kernel(edge_tiles, [x, np.zeros((30, 64), np.float32)], RunOptions(), [])
    out, mask = got.outputs["out"], got.written["out"]
    np.testing.assert_array_equal(out[:, :50], x * 2)
    # A reduction folds the valid cells only: an FP32 sum from the left over 50 columns.
    sums = np.zeros(30, np.float32)
    for column in range(50):
        sums += x[:, column] * np.float32(2)
    np.testing.assert_array_equal(out[:, 63], sums)
    want = np.zeros((30, 64), bool)
    want[:, :50] = want[:, 63] = True
    np.testing.assert_array_equal(mask, want)


@pl.jit(auto_scope=False)
def padded(x: pl.Tensor[[5, 20], pl.FP32], out: pl.Out[pl.Tensor[[8, 32], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="pad"):
        t = pl.load(x, [0, 0], [8, 32], valid_shape=[5, 20])
        pl.store(pl.fillpad(pl.neg(t), float("-inf")), [0, 0], out)


def test_fillpad_fills_what_is_not_valid():
    out = outputs(padded, X[:5, :20].copy(), np.zeros((8, 32), np.float32))["out"]
    np.testing.assert_array_equal(out[:5, :20], -X[:5, :20])
    assert np.isneginf(out[5:]).all() and np.isneginf(out[:, 20:]).all()


@pl.jit(auto_scope=False)
def batched_product(
    a: pl.Tensor[[16, 32], pl.BF16],
    w: pl.Tensor[[3, 24, 32], pl.BF16],
    out: pl.Out[pl.Tensor[[48, 24], pl.FP32]],
):
    for g in pl.spmd(3, name_hint="product"):
        acc = pl.matmul(a[0:16, 0:16], w[g : g + 1, 0:24, 0:16], b_trans=True, out_dtype=pl.FP32)
        acc = pl.matmul_acc(acc, a[0:16, 16:32], w[g : g + 1, 0:24, 16:32], b_trans=True)
        out[g * 16 : g * 16 + 16, 0:24] = pl.reshape(acc, [16, 24])


def test_a_product_with_a_unit_batch():
    # Small integers: every order of the FP32 additions gives the same value.
    a = RNG.integers(-3, 4, (16, 32)).astype(ml_dtypes.bfloat16)
    w = RNG.integers(-3, 4, (3, 24, 32)).astype(ml_dtypes.bfloat16)
    out = outputs(batched_product, a, w, np.zeros((48, 24), np.float32))["out"]
    want = np.einsum("mk,gnk->gmn", a.astype(np.float64), w.astype(np.float64)).reshape(48, 24)
    np.testing.assert_array_equal(out, want)


@pl.jit(auto_scope=False)
def narrowing_store(
    a: pl.Tensor[[16, 16], pl.BF16], b: pl.Tensor[[16, 16], pl.BF16], out: pl.Out[pl.Tensor[[16, 16], pl.BF16]]
):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="fixpipe"):
        out[0:16, 0:16] = pl.matmul(a[0:16, 0:16], b[0:16, 0:16], out_dtype=pl.FP32)


def test_an_accumulator_is_narrowed_to_nearest_even_on_its_way_to_gm():
    a = np.eye(16, dtype=np.float32).astype(ml_dtypes.bfloat16)
    b = RNG.standard_normal((16, 16)).astype(ml_dtypes.bfloat16)
    out = outputs(narrowing_store, a, b, np.zeros((16, 16), ml_dtypes.bfloat16))["out"]
    np.testing.assert_array_equal(out.view(np.uint16), b.view(np.uint16))


@pl.jit(auto_scope=False)
def views(x: pl.Tensor[[4, 8, 16], pl.FP32], out: pl.Out[pl.Tensor[[32, 16], pl.FP32]]):
    flat = pl.reshape(x, [32, 16])
    lower = flat[16:32, 0:16]
    target = out[0:16, :]
    for i in pl.spmd(4, name_hint="rows"):
        target[i * 4 : i * 4 + 4, :] = lower[i * 4 : i * 4 + 4, :]
    for i in pl.spmd(4, name_hint="planes"):
        t = x[i : i + 1, 0:4, 0:16]
        out[16 + i * 4 : 16 + i * 4 + 4, 0:16] = pl.reshape(t, [4, 16])


def test_a_view_in_orchestration_writes_its_parent():
    x = X.reshape(-1)[:512].reshape(4, 8, 16).copy()
    result = run_kernel(views, [x, np.zeros((32, 16), np.float32)], RunOptions(), [])
    flat = x.reshape(32, 16)
    np.testing.assert_array_equal(result.outputs["out"][:16], flat[16:])
    np.testing.assert_array_equal(result.outputs["out"][16:].reshape(4, 4, 16), x[:, :4])
    rows = result.program.tasks[0].args
    assert {(arg.tensor, arg.reads, arg.writes, arg.offset, arg.shape) for arg in rows} == {
        (0, True, False, 256, (16, 16)),
        (1, False, True, 0, (16, 16)),
    }


@pl.jit(auto_scope=False)
def tile_updates(x: pl.Tensor[[32, 64], pl.FP32], out: pl.Out[pl.Tensor[[32, 64], pl.FP32]]):
    for i in pl.spmd(4, name_hint="update"):
        scratch = pl.create_tensor([8, 64], dtype=pl.FP32)
        half = x[i * 8 : i * 8 + 8, 0:32]
        scratch = pl.assemble(scratch, half, [0, 32])
        scratch[0:8, 0:32] = pl.abs(half)
        top = scratch[0:4, :]
        out[i * 8 : i * 8 + 4, :] = top
        out[i * 8 + 4 : i * 8 + 8, :] = scratch[4:8, :]


def test_scratch_tiles_are_updated_in_place():
    out = outputs(tile_updates, X, np.zeros_like(X))["out"]
    np.testing.assert_array_equal(out, np.concatenate([np.abs(X[:, :32]), X[:, :32]], axis=1))


@pl.jit(auto_scope=False)
def unwritten(x: pl.Tensor[[4, 8], pl.FP32], out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    scratch = pl.create_tensor([4, 8], dtype=pl.FP32)
    for i in pl.spmd(2, name_hint="half"):
        scratch[i : i + 1, :] = x[i : i + 1, :]
    for i in pl.spmd(4, name_hint="all"):
        out[i : i + 1, :] = scratch[i : i + 1, :]


def test_unwritten_memory_is_not_a_number():
    out = outputs(unwritten, X[:4, :8].copy(), np.zeros((4, 8), np.float32))["out"]
    np.testing.assert_array_equal(out[:2], X[:2, :8])
    assert np.isnan(out[2:]).all()


@pl.jit
def half_written(x: pl.Tensor[[4, 8], pl.FP32], out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[0:2, :] = x[0:2, :]


def test_what_nothing_wrote_reads_back_as_zero_whatever_the_caller_passed():
    out = outputs(half_written, X[:4, :8].copy(), np.full((4, 8), 7, np.float32))["out"]
    np.testing.assert_array_equal(out, np.concatenate([X[:2, :8], np.zeros((2, 8), np.float32)]))


@pl.jit(auto_scope=False)
def scalars(x: pl.Tensor[[8], pl.INT32], f: pl.Tensor[[8], pl.FP32], out: pl.Out[pl.Tensor[[8, 4], pl.INT32]],
            g: pl.Out[pl.Tensor[[8], pl.FP32]]):  # fmt: skip
    for i in pl.spmd(8, name_hint="scalars"):
        v = pl.read(x, [i])
        w = (v * 3 + 1) // 2 - v % 4
        pl.write(out, [i, 0], pl.cast(w, pl.INT32))
        pl.write(out, [i, 1], pl.cast(pl.max(v, 5), pl.INT32))
        pl.write(out, [i, 2], pl.cast((v << 2) | 1, pl.INT32))
        pl.write(out, [i, 3], pl.cast(v > 2, pl.INT32))
        pl.write(g, [i], pl.read(f, [i]) * 0.1)


@pytest.mark.parametrize("lanes", [1, 3, 32])
def test_scalar_arithmetic(lanes):
    x = np.array([0, 1, 2, 3, 4, 7, 9, 100], np.int32)
    f = RNG.standard_normal(8).astype(np.float32)
    got = outputs(scalars, x, f, np.zeros((8, 4), np.int32), np.zeros(8, np.float32), lanes=lanes)
    want = np.stack([(x * 3 + 1) // 2 - x % 4, np.maximum(x, 5), (x << 2) | 1, x > 2], axis=1)
    np.testing.assert_array_equal(got["out"], want)
    np.testing.assert_array_equal(got["g"], f * np.float32(0.1))


@pl.jit(auto_scope=False)
def leaks_a_tile(x: pl.Tensor[[4, 8], pl.FP32], out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    for i in pl.spmd(4, name_hint="make"):
        t = x[i : i + 1, 0:8]
        out[i : i + 1, 0:8] = t
    for i in pl.spmd(4, name_hint="use"):
        out[i : i + 1, 0:8] = t


def test_a_tile_does_not_outlive_its_task():
    with pytest.raises(KernelError, match="PTO102"):
        outputs(leaks_a_tile, X[:4, :8].copy(), np.zeros((4, 8), np.float32))
