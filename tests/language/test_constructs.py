"""Constructs of the language beyond loads, stores and tasks, against NumPy written from their definition."""

from __future__ import annotations

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(11)
A, B = (RNG.standard_normal((32, 64)).astype(np.float32) for _ in range(2))
F = pl.Tensor[[32, 64], pl.FP32]
ROW = pl.Tensor[[1, 256], pl.FP32]
SMALL = pl.Tensor[[16, 32], pl.FP32]
CORES = pl.Tensor[[24, 64], pl.FP32]


def run(kernel, *args, **options):
    done = run_kernel(getattr(kernel, "entry", kernel), list(args), RunOptions(**options), [])
    lower(done.program)
    return done


@pl.program
class Larger:
    @pl.function(type=pl.FunctionType.InCore)
    def larger(self, a: F, b: F, c: pl.Out[F]) -> F:
        x, y = pl.load(a, [0, 0], [32, 64]), pl.load(b, [0, 0], [32, 64])
        mask = pl.tile.cmp(x, y, cmp_type=4)
        return pl.store(pl.tile.sel(mask, x, y, pl.create_tile([1, 32], dtype=pl.UINT8)), [0, 0], c)

    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, a: F, b: F, go: pl.Tensor[[2], pl.INT32], c: pl.Out[F], skipped: pl.InOut[F]) -> F:
        t = pl.create_tensor([32, 64], dtype=pl.FP32)
        t, first = pl.submit(self.larger, a, b, t)
        skipped, second = pl.submit(self.larger, a, b, skipped, deps=[first], predicate=(go[0] > 0))
        done = pl.system.task_dummy(deps=[first, second])
        c, _ = pl.spmd_submit(self.larger, t, b, c, core_num=1, deps=[done])
        return c


def test_a_program_class_submits_tasks_and_skips_one() -> None:
    done = run(Larger, A, B, np.zeros(2, np.int32), np.zeros_like(A), np.full_like(A, 7))
    np.testing.assert_array_equal(done.outputs["c"], np.maximum(A, B))
    np.testing.assert_array_equal(done.outputs["skipped"], np.full_like(A, 7))
    tasks = done.program.tasks
    assert [task.form for task in tasks] == ["at", "dummy", "dummy", "spmd"]
    assert tasks[1].explicit_deps == [0] and tasks[2].explicit_deps == [0, 1] and tasks[3].explicit_deps == [2]


@pl.jit
def carried(a: F, o: pl.Out[F], n: pl.Out[pl.Tensor[[8], pl.INT32]]):
    for i in pl.spmd(8):
        acc = pl.full([4, 64], dtype=pl.FP32, value=0.0)
        for _k, (s,) in pl.range(3, init_values=(acc,)):
            total = pl.add(s, a[i * 4 : i * 4 + 4, :])
            last = pl.yield_(total)
        counts = pl.array.create(4, pl.INT32)
        counts[1] = i + 1
        for (c,) in pl.while_(init_values=(0,)):
            pl.cond(c < counts[1])
            grown = pl.yield_(c + 1)
        pl.write(n, [i], grown)
        o[i * 4 : i * 4 + 4, :] = pl.neg(last)


def test_carried_values_and_arrays() -> None:
    done = run(carried, A, np.zeros_like(A), np.zeros(8, np.int32))
    np.testing.assert_array_equal(done.outputs["o"], -((A + A) + A))
    np.testing.assert_array_equal(done.outputs["n"], np.arange(1, 9))


@pl.jit
def halves(a: SMALL, b: pl.Tensor[[32, 16], pl.FP32], o: pl.Out[pl.Tensor[[16, 16], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        product = pl.matmul(a, b)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            o[lane * 8 : lane * 8 + 8, :] = pl.neg(pl.aiv_shard(product))


def test_each_vector_core_takes_half_of_a_product() -> None:
    a, b = (RNG.integers(-4, 5, shape).astype(np.float32) for shape in ((16, 32), (32, 16)))
    np.testing.assert_array_equal(run(halves, a, b, np.zeros((16, 16), np.float32)).outputs["o"], -(a @ b))


@pl.jit
def top(
    a: pl.Tensor[[1, 256], pl.FP32], i: pl.Out[pl.Tensor[[1, 256], pl.INT32]], v: pl.Out[pl.Tensor[[1, 256], pl.FP32]]
):
    with pl.at(level=pl.Level.CORE_GROUP):
        s = pl.mrgsort(pl.sort32(a[:, :], pl.arange(0, [1, 256], dtype=pl.UINT32)), block_len=64)
        s = pl.mrgsort(s[:, 0:256], s[:, 256:512])
        i[:, :] = pl.gather(s, mask_pattern=pl.tile.MaskPattern.P1010, output_dtype=pl.INT32)
        v[:, :] = pl.gather(s, mask_pattern=pl.tile.MaskPattern.P0101)


def test_sorting_gives_a_stable_descending_order() -> None:
    keys = np.round(RNG.standard_normal((1, 256)) * 4).astype(np.float32)  # with ties
    done = run(top, keys, np.zeros((1, 256), np.int32), np.zeros((1, 256), np.float32))
    order = np.argsort(-keys[0], kind="stable")
    np.testing.assert_array_equal(done.outputs["i"][0], order)
    np.testing.assert_array_equal(done.outputs["v"][0], keys[0][order])


@pl.jit
def split_k(
    a: pl.Tensor[[16, 128], pl.FP32], w: pl.Tensor[[128, 32], pl.FP32], o: pl.Out[pl.Tensor[[16, 32], pl.FP32]]
):
    total = pl.create_tensor([16, 32], dtype=pl.FP32, init_value=0)
    for i in pl.spmd(4):
        part = pl.matmul(a[:, i * 32 : i * 32 + 32], w[i * 32 : i * 32 + 32, :], out_dtype=pl.FP32)
        total = pl.assemble(total, part, [0, 0], atomic=pl.AtomicType.Add)
    with pl.at(level=pl.Level.CORE_GROUP):
        o[:, :] = total[:, :]


@pytest.mark.parametrize("lanes", [1, 2, 64])
def test_atomic_additions_are_exact_on_small_integers_and_do_not_depend_on_the_batch(lanes: int) -> None:
    a, w = (RNG.integers(-4, 5, shape).astype(np.float32) for shape in ((16, 128), (128, 32)))
    done = run(split_k, a, w, np.zeros((16, 32), np.float32), lanes=lanes)
    np.testing.assert_array_equal(done.outputs["o"], a @ w)


@pl.jit
def barrier(
    a: pl.Tensor[[48, 64], pl.FP32], t: pl.InOut[pl.Tensor[[48, 64], pl.FP32]], o: pl.Out[pl.Tensor[[48, 64], pl.FP32]]
):
    for i in pl.spmd(48, sync_start=True):
        t[i : i + 1, :] = pl.neg(a[i : i + 1, :])
        pl.system.syncall(core_type="aiv_only")
        o[i : i + 1, :] = t[47 - i : 48 - i, :]


def test_all_blocks_see_what_was_stored_before_a_barrier() -> None:
    a = RNG.standard_normal((48, 64)).astype(np.float32)
    for lanes in (1, 64):
        done = run(barrier, a, np.zeros_like(a), np.zeros_like(a), lanes=lanes)
        np.testing.assert_array_equal(done.outputs["o"], -a[::-1])


@pl.jit
def short_barrier(o: pl.InOut[pl.Tensor[[8, 64], pl.FP32]]):
    for i in pl.spmd(8, sync_start=True):
        pl.system.syncall(core_type="aiv_only")
        o[i : i + 1, :] = pl.neg(o[i : i + 1, :])


def test_a_hard_barrier_needs_every_core() -> None:
    with pytest.raises(KernelError, match="8 blocks"):
        run(short_barrier, np.zeros((8, 64), np.float32))


@pl.jit
def ragged(x: pl.Tensor[[30, 50], pl.FP32], o: pl.Out[pl.Tensor[[30, 1], pl.FP32]]):
    for i in pl.spmd(4):
        rows = pl.min(30 - i * 8, 8)
        t = pl.slice(x, [8, 64], [i * 8, 0], valid_shape=[rows, 50])
        o = pl.assemble(o, pl.row_sum(t), [i * 8, 0])


def test_blocks_with_different_valid_shapes_run_again_one_by_one() -> None:
    x = RNG.integers(-9, 10, (30, 50)).astype(np.float32)
    done = run(ragged, x, np.zeros((30, 1), np.float32))
    np.testing.assert_array_equal(done.outputs["o"], x.sum(1, keepdims=True))
    assert len(done.program.tasks) == 1 and done.program.tasks[0].blocks == 4


@pl.jit
def a5_only(x: F, o: pl.Out[F]):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[:, :] = pl.matmul_mx(x, x, x, x)


def test_what_only_a5_has_says_so() -> None:
    with pytest.raises(UnsupportedError, match="A5 only"):
        run(a5_only, A, np.zeros_like(A))
