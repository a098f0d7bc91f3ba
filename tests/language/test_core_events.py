"""Events between the cores of a block, flags within a core, and barriers over blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(5)
A = RNG.integers(-4, 5, (16, 16)).astype(np.float32)
T = pl.Tensor[[16, 16], pl.FP32]
WORK = pl.Tensor[[256], pl.INT64]


def run(kernel: Any, *arrays: np.ndarray) -> Any:
    done = run_kernel(kernel, list(arrays), RunOptions(), ())
    lower(done.program)
    return done


@pl.jit
def through_gm(a: T, t: pl.InOut[T], w: WORK, o: pl.Out[T]):
    """Both lanes store a part to GM and signal; the cube waits for both."""
    for _ in pl.spmd(1):
        pl.system.set_ffts(w)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            if lane == 0:
                pl.store(pl.add(pl.load(a, [0, 0], [5, 16]), 1.0), [0, 0], t)
            else:
                pl.store(pl.add(pl.load(a, [5, 0], [11, 16]), 1.0), [5, 0], t)
            pl.system.sync_set(4, pipe=pl.PipeType.MTE3, ffts_mode=2, core_type="aiv")
        pl.system.sync_wait(4, pipe=pl.PipeType.MTE2, core_type="aic")
        x = pl.load(t, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
        o = pl.store(pl.matmul(x, x), [0, 0], o)
    return o


def test_the_cube_reads_what_both_lanes_stored_before_they_signalled() -> None:
    done = run(through_gm, A, np.zeros_like(A), np.zeros(256, np.int64), np.zeros_like(A))
    np.testing.assert_array_equal(done.outputs["o"], (A + 1) @ (A + 1))


@pl.jit
def one_lane_only(a: T, t: pl.InOut[T], o: pl.Out[T]):
    for _ in pl.spmd(1):
        for lane in pl.split_aiv(2, mode=pl.SplitMode.NONE):
            if lane == 0:
                pl.system.sync_set(4, pipe=pl.PipeType.MTE3, core_type="aiv")
        pl.system.sync_wait(4, pipe=pl.PipeType.MTE2, core_type="aic")
        o[:, :] = pl.matmul(a, a)


@pl.jit
def waits_first(a: T, t: pl.InOut[T], o: pl.Out[T]):
    for _ in pl.spmd(1):
        pl.system.sync_wait(4, pipe=pl.PipeType.MTE2, core_type="aic")
        o[:, :] = pl.matmul(a, a)


@pytest.mark.parametrize("kernel", [one_lane_only, waits_first])
def test_a_wait_that_nothing_has_signalled_is_an_error(kernel: Any) -> None:
    with pytest.raises(KernelError, match="PTO261") as caught:
        run(kernel, A, np.zeros_like(A), np.zeros_like(A))
    assert "event 4 on aic" in str(caught.value) and "test_core_events.py" in str(caught.value)


@pl.jit
def no_core(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.system.sync_set(4, pipe=pl.PipeType.MTE3)
        o[:, :] = pl.matmul(a, a)


@pl.jit
def reserved_event(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.system.sync_set(14, pipe=pl.PipeType.MTE3, core_type="aiv")
        o[:, :] = pl.matmul(a, a)


@pl.jit
def flag_never_set(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.system.sync_src(set_pipe=pl.PipeType.MTE2, wait_pipe=pl.PipeType.V, event_id=0)
        pl.system.sync_dst(set_pipe=pl.PipeType.MTE2, wait_pipe=pl.PipeType.V, event_id=1)
        o[:, :] = pl.neg(a)


@pytest.mark.parametrize(
    ("kernel", "text"),
    [(no_core, "names its core"), (reserved_event, "an event is 0 to 13"), (flag_never_set, "nothing has set")],
)
def test_signals_that_cannot_be_met(kernel: Any, text: str) -> None:
    with pytest.raises(KernelError, match="PTO264") as caught:
        run(kernel, A, np.zeros_like(A))
    assert text in str(caught.value)


@pl.jit
def between_blocks(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.system.sync_set(3, pipe=pl.PipeType.MTE3, ffts_mode=0, core_type="aiv")
        o[:, :] = pl.neg(a)


def test_an_event_between_blocks_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="ffts_mode=0"):
        run(between_blocks, A, np.zeros_like(A))


@pl.jit
def ordered(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        x = pl.load(a, [0, 0], [16, 16])
        pl.system.sync_src(set_pipe=pl.PipeType.MTE2, wait_pipe=pl.PipeType.V, event_id=0)
        pl.system.sync_dst(set_pipe=pl.PipeType.MTE2, wait_pipe=pl.PipeType.V, event_id=0)
        y = pl.neg(x)
        pl.system.bar_v()
        pl.system.bar_all()
        o = pl.store(y, [0, 0], o)
        pl.system.cacheinvalid(o, [1, 8], [0, 0])
        pl.system.cacheinvalid()
        pl.system.fence()


def test_order_within_a_core_changes_no_value() -> None:
    np.testing.assert_array_equal(run(ordered, A, np.zeros_like(A)).outputs["o"], -A)


CELLS = pl.Tensor[[16], pl.INT32]


def soft(used: int, core_type: str) -> Any:
    @pl.jit
    def kernel(a: T, w: CELLS, o: pl.Out[T]):
        for i in pl.spmd(2):
            x = pl.neg(a[i * 8 : i * 8 + 8, :])
            pl.system.syncall(mode="soft", core_type=core_type, gm_workspace=w, used_cores=used)
            o[i * 8 : i * 8 + 8, :] = x

    return kernel


def test_a_soft_barrier_of_the_cores_that_take_part_is_silent() -> None:
    done = run(soft(2, "aiv_only"), A, np.zeros(16, np.int32), np.zeros_like(A))
    np.testing.assert_array_equal(done.outputs["o"], -A)


@pytest.mark.parametrize(("used", "core_type", "code"), [(3, "aiv_only", "PTO264"), (2, "aic_only", "PTO244")])
def test_a_soft_barrier_that_waits_for_others_never_ends(used: int, core_type: str, code: str) -> None:
    with pytest.raises(KernelError, match=code):
        run(soft(used, core_type), A, np.zeros(16, np.int32), np.zeros_like(A))


def test_the_workspace_of_a_soft_barrier_is_zero() -> None:
    with pytest.raises(KernelError, match="zeros or more"):
        run(soft(2, "aiv_only"), A, np.ones(16, np.int32), np.zeros_like(A))
