"""Blocks that run in lockstep give the bits of blocks that run one by one, whatever they branch on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.options import RunOptions

BLOCKS = 12
ROWS = 4
COLS = 16


@pl.jit(auto_scope=False)
def branch_and_loop(
    x: pl.Tensor[[BLOCKS * ROWS, COLS], pl.FP32],
    choice: pl.Tensor[[BLOCKS], pl.INT32],
    trips: pl.Tensor[[BLOCKS], pl.INT32],
    out: pl.Out[pl.Tensor[[BLOCKS * ROWS, COLS], pl.FP32]],
):
    for i in pl.spmd(BLOCKS, name_hint="mixed"):
        row = i * ROWS
        c = pl.read(choice, [i])
        n = pl.read(trips, [i])
        acc = x[row : row + ROWS, 0:COLS]
        offset = 0
        if c > 0:
            if c > 1:
                acc = pl.mul(acc, 3.0)
                offset = 1
            else:
                acc = pl.neg(acc)
                offset = 2
        for step in pl.range(offset, n):
            acc = pl.add(acc, 1.5)
            if step == c:
                acc = pl.mul(acc, 0.5)
        out[row : row + ROWS, 0:COLS] = acc


def expected(x: np.ndarray, choice: np.ndarray, trips: np.ndarray) -> np.ndarray:
    result = x.copy()
    for i in range(BLOCKS):
        acc, offset = x[i * ROWS : (i + 1) * ROWS], 0
        if choice[i] > 1:
            acc, offset = acc * np.float32(3), 1
        elif choice[i] > 0:
            acc, offset = -acc, 2
        for step in range(offset, trips[i]):
            acc = acc + np.float32(1.5)
            if step == choice[i]:
                acc = acc * np.float32(0.5)
        result[i * ROWS : (i + 1) * ROWS] = acc
    return result


def run(args, **options):
    return run_kernel(branch_and_loop, [*args, np.zeros_like(args[0])], RunOptions(**options), [])


vectors = st.lists(st.integers(-1, 4), min_size=BLOCKS, max_size=BLOCKS)


@settings(max_examples=40, deadline=None)
@given(choice=vectors, trips=vectors, lanes=st.sampled_from([1, 2, 5, 32]), order=st.sampled_from([None, 3]))
def test_any_divergence_gives_the_bits_of_single_blocks(choice, trips, lanes, order):
    x = np.linspace(-2, 2, BLOCKS * ROWS * COLS, dtype=np.float32).reshape(BLOCKS * ROWS, COLS)
    args = [x, np.array(choice, np.int32), np.array(trips, np.int32)]
    result = run(args, lanes=lanes, block_order_seed=order)
    np.testing.assert_array_equal(result.outputs["out"], expected(*args))
    assert result.written["out"] is None


@settings(max_examples=20, deadline=None)
@given(choice=vectors, trips=vectors)
def test_recorded_streams_do_not_depend_on_the_group(choice, trips):
    """A block's recorded operations are its own: a group of 32 records what single blocks record."""
    args = [np.ones((BLOCKS * ROWS, COLS), np.float32), np.array(choice, np.int32), np.array(trips, np.int32)]

    def ops(lanes):
        program = run(args, lanes=lanes).program
        task = program.tasks[0]
        named = []
        for block in range(BLOCKS):
            stream = program.streams[task.block_streams[block]]
            named.append([program.signatures[op.signature].op for op in stream.ops])
        return named

    alone = ops(1)
    together = ops(32)
    for single, group in zip(alone, together, strict=True):
        # Where blocks part, a group also records the merge of their values, which costs nothing.
        assert [op for op in group if op != "reshape"] == [op for op in single if op != "reshape"]


@pl.jit(auto_scope=False)
def scatter_rows(
    x: pl.Tensor[[64, 32], pl.BF16],
    index: pl.Tensor[[8, 8], pl.INT32],
    out: pl.Out[pl.Tensor[[64, 32], pl.BF16]],
):
    for i in pl.spmd(8, name_hint="scatter"):
        stage = pl.full([8, 32], dtype=pl.BF16, value=0.0)
        for j in pl.range(8):
            source = pl.read(index, [i, j])
            if source >= 0:
                stage[j : j + 1, 0:32] = x[source : source + 1, 0:32]
        out[i * 8 : i * 8 + 8, 0:32] = stage


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-1, 63), min_size=64, max_size=64), st.sampled_from([1, 3, 32]))
def test_gather_into_a_scratch_tile(rows, lanes):
    import ml_dtypes

    x = np.arange(64 * 32, dtype=np.float32).reshape(64, 32).astype(ml_dtypes.bfloat16)
    index = np.array(rows, np.int32).reshape(8, 8)
    got = run_kernel(scatter_rows, [x, index, np.zeros_like(x)], RunOptions(lanes=lanes), []).outputs["out"]
    want = np.where((index.reshape(-1) >= 0)[:, None], x[index.reshape(-1)].astype(np.float32), 0.0)
    np.testing.assert_array_equal(got.astype(np.float32), want)


@pl.jit(auto_scope=False)
def late_name(choice: pl.Tensor[[4], pl.INT32], out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    for i in pl.spmd(4, name_hint="late"):
        c = pl.read(choice, [i])
        if c > 0:
            value = pl.full([1, 8], dtype=pl.FP32, value=2.0)
        out[i : i + 1, 0:8] = value


def test_a_name_bound_on_only_some_blocks_is_refused():
    from pto_sim.program.errors import KernelError

    for choice in (np.array([0, 1, 0, 1], np.int32), np.ones(4, np.int32)):
        with pytest.raises(KernelError, match=r"PTO236.*'value' is bound in one arm"):
            run_kernel(late_name, [choice, np.zeros((4, 8), np.float32)], RunOptions(), [])


@pl.jit(auto_scope=False)
def early_exit(limit: pl.Tensor[[4], pl.INT32], out: pl.Out[pl.Tensor[[4, 8], pl.FP32]]):
    for i in pl.spmd(4, name_hint="exit"):
        n = pl.read(limit, [i])
        acc = pl.full([1, 8], dtype=pl.FP32, value=0.0)
        for step in pl.range(10):
            if step == n:
                break
            acc = pl.add(acc, 1.0)
        out[i : i + 1, 0:8] = acc


def test_break_counts_each_block_for_itself():
    limit = np.array([0, 3, 20, 7], np.int32)
    out = run_kernel(early_exit, [limit, np.zeros((4, 8), np.float32)], RunOptions(), []).outputs["out"]
    np.testing.assert_array_equal(out[:, 0], np.minimum(limit, 10).astype(np.float32))
