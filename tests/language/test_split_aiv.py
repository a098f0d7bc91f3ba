"""Regions of both vector cores: halves, crossings, ragged tiles and the rules of where work may stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(3)
A = RNG.integers(-4, 5, (16, 16)).astype(np.float32)
B = RNG.integers(-4, 5, (16, 16)).astype(np.float32)
T = pl.Tensor[[16, 16], pl.FP32]


def run(kernel: Any, *arrays: np.ndarray, **options: Any) -> Any:
    return run_kernel(kernel, list(arrays), RunOptions(**options), ())


@pl.jit
def sharded(a: T, b: T, o: pl.Out[T]):
    for _i in pl.spmd(1):
        c = pl.matmul(a, b)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            half = pl.add(pl.aiv_shard(c), 1.0)
            o[lane * 8 : lane * 8 + 8, :] = half


@pl.jit
def by_columns(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        c = pl.matmul(a, b)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.LEFT_RIGHT):
            o[:, lane * 8 : lane * 8 + 8] = pl.add(pl.aiv_shard(c), 1.0)


@pl.jit
def whole_on_both(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        c = pl.matmul(a, b)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            x = pl.add(pl.aiv_shard(c), 1.0)
            if lane == 0:
                o[0:8, :] = x[0:8, :]
            else:
                o[8:16, :] = x[8:16, :]


@pl.jit
def written_whole(a: T, b: T, o: pl.Out[T]):
    """No crossing is named: the body is for whole tiles, and each lane keeps its half."""
    with pl.at(level=pl.Level.CORE_GROUP):
        for _lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            x = pl.add(pl.load(a, [0, 0], [16, 16]), pl.mul(pl.load(b, [0, 0], [16, 16]), 2.0))
            pl.store(x, [0, 0], o)


@pytest.mark.parametrize(
    ("kernel", "want"),
    [(sharded, A @ B + 1), (by_columns, A @ B + 1), (whole_on_both, A @ B + 1), (written_whole, A + 2 * B)],
)
def test_lanes_together_store_the_whole(kernel: Any, want: np.ndarray) -> None:
    done = run(kernel, A, B, np.zeros_like(A))
    np.testing.assert_array_equal(done.outputs["o"], want)
    assert done.written["o"] is None


@pl.jit
def gathered(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            x = pl.full([8, 16], dtype=pl.FP32, value=0.0)
            for k in pl.range(8):
                x = pl.gather_row(x, a, [k, 0], [15 - lane * 8 - k, 0], [1, 16])
            y = pl.aic_gather(x)
        o[:, :] = pl.matmul(y, b)


def test_rows_gathered_by_each_lane_are_joined_for_the_cube() -> None:
    done = run(gathered, A, B, np.zeros_like(A))
    np.testing.assert_array_equal(done.outputs["o"], A[::-1] @ B)


def ragged(valid: int) -> Any:
    @pl.jit
    def kernel(a: T, b: T, o: pl.InOut[T]):
        with pl.at(level=pl.Level.CORE_GROUP):
            x = pl.slice(a, [16, 16], [0, 0], valid_shape=[valid, 16])
            c = pl.matmul(x, b)
            for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
                o[lane * 8 : lane * 8 + 8, :] = pl.abs(pl.aiv_shard(c))

    return kernel


@pytest.mark.parametrize("valid", [16, 15, 8, 5])
def test_a_ragged_tile_gives_each_lane_what_is_left_of_it(valid: int) -> None:
    before = np.full_like(A, 99)
    want = before.copy()
    want[:valid] = np.abs(A @ B)[:valid]
    np.testing.assert_array_equal(run(ragged(valid), A, B, before).outputs["o"], want)


@pl.jit
def odd_box(a: pl.Tensor[[17, 16], pl.FP32], b: T, o: pl.Out[pl.Tensor[[17, 16], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        c = pl.matmul(a, b)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            o[lane * 9 : lane * 9 + 9, :] = pl.abs(pl.aiv_shard(c))


def test_an_odd_axis_gives_lane_0_one_row_more() -> None:
    a = RNG.integers(-4, 5, (17, 16)).astype(np.float32)
    np.testing.assert_array_equal(run(odd_box, a, B, np.zeros_like(a)).outputs["o"], np.abs(a @ B))


def region(body: Any) -> Any:
    """A task with a product c, then `body` in a region of mode UP_DOWN."""
    part = pl.inline(body)

    @pl.jit
    def kernel(a: T, b: T, o: pl.InOut[T]):
        with pl.at(level=pl.Level.CORE_GROUP):
            c = pl.matmul(a, b)
            for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
                h = pl.aiv_shard(c)
                part(a, b, o, c, h, lane)

    return kernel


def unnamed_crossing(a, b, o, c, h, lane):
    o[lane * 8 : lane * 8 + 8, :] = pl.add(h, pl.abs(c)[0:8, :])


def cube_work(a, b, o, c, h, lane):
    o[:, :] = pl.matmul(a, b)


def reduced_split_axis(a, b, o, c, h, lane):
    o[lane : lane + 1, :] = pl.col_sum(h)


def uneven(a, b, o, c, h, lane):
    if lane == 0:
        x = pl.aiv_shard(c)
        o[0:8, :] = x


def sharded_twice(a, b, o, c, h, lane):
    o[0:8, :] = pl.aiv_shard(pl.add(h, 1.0))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (unnamed_crossing, "enters a region through pl.aiv_shard"),
        (cube_work, "cube work stands outside"),
        (reduced_split_axis, "nothing reduces the axis"),
        (uneven, "both lanes of a region take part"),
        (sharded_twice, "takes a value that the cube made"),
    ],
)
def test_what_may_not_stand_in_a_region_is_said_at_its_line(body: Any, text: str) -> None:
    with pytest.raises(KernelError, match=r"PTO246|PTO264") as caught:
        run(region(body), A, B, np.zeros_like(A))
    assert text in str(caught.value) and "test_split_aiv.py" in str(caught.value)


@pl.jit
def vector_outside(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        x = pl.add(a, b)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            o[lane * 8 : lane * 8 + 8, :] = pl.load(a, [lane * 8, 0], [8, 16])
        o[:, :] = x


@pl.jit
def not_gathered(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        for _lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            x = pl.add(pl.load(a, [0, 0], [16, 16]), 1.0)
        pl.store(pl.matmul(x, pl.load(b, [0, 0], [16, 16])), [0, 0], o)


@pl.jit
def split_twice(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP, optimizations=[pl.split(pl.SplitMode.UP_DOWN)]):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            o[lane * 8 : lane * 8 + 8, :] = pl.load(a, [lane * 8, 0], [8, 16])


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        (vector_outside, "is vector work outside every pl.split_aiv"),
        (not_gathered, "reaches the cube through pl.aic_gather"),
        (split_twice, "split as a whole or by regions"),
    ],
)
def test_what_may_not_stand_beside_a_region_is_said_too(kernel: Any, text: str) -> None:
    with pytest.raises(KernelError, match=r"PTO246|PTO264") as caught:
        run(kernel, A, B, np.zeros_like(A))
    assert text in str(caught.value)


@pl.jit
def different_values(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            x = pl.aic_gather(pl.add(pl.load(a, [lane * 8, 0], [8, 16]), 1.0))
        o[0:8, :] = pl.matmul(x, b)


@pl.jit
def bands_apart(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            x = pl.aic_gather(pl.abs(pl.load(a, [lane * 8, 0], [8, 16], valid_shape=[5, 16])))
        o[:, :] = pl.matmul(x, b)


@pytest.mark.parametrize(("kernel", "text"), [(different_values, "they push one value"), (bands_apart, "must meet")])
def test_a_value_for_the_cube_that_is_not_one_value(kernel: Any, text: str) -> None:
    with pytest.raises(KernelError, match="PTO263") as caught:
        run(kernel, A, B, np.zeros_like(A))
    assert text in str(caught.value)


@pl.jit
def reduced_under_a_split(a: T, b: T, o: pl.InOut[T]):
    with pl.at(level=pl.Level.CORE_GROUP, optimizations=[pl.split(pl.SplitMode.UP_DOWN)]):
        o[0:1, :] = pl.col_sum(pl.add(pl.matmul(a, b), 1.0))


def test_a_split_task_does_not_reduce_the_axis_that_its_lanes_share() -> None:
    with pytest.raises(KernelError, match="nothing reduces the axis"):
        run(reduced_under_a_split, A, B, np.zeros_like(A))


@pl.jit
def lane_without_region(a: T, b: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[pl.tile.get_subblock_idx() * 8 : 8, :] = pl.load(a, [0, 0], [8, 16])


def test_a_lane_number_outside_every_region_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="get_subblock_idx"):
        run(lane_without_region, A, B, np.zeros_like(A))


@pl.jit
def ragged_columns(a: T, b: T, o: pl.InOut[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        y = pl.slice(b, [16, 16], [0, 0], valid_shape=[16, 9])
        c = pl.matmul(a, y)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.LEFT_RIGHT):
            o[:, lane * 8 : lane * 8 + 8] = pl.abs(pl.aiv_shard(c))


def test_a_tile_that_is_ragged_along_its_columns_cannot_cross_by_columns() -> None:
    with pytest.raises(KernelError, match="PTO264") as caught:
        run(ragged_columns, A, B, np.zeros_like(A))
    assert "crosses whole in its width" in str(caught.value)
