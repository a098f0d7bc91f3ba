"""Instruction streams of functions of one core and of split regions: what runs where, and what waits for what."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from ascend_model.isa import Core, Kind
from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

A = np.ones((16, 16), np.float32)
T = pl.Tensor[[16, 16], pl.FP32]
SLOT = 1024


def lowered(kernel: Any, *arrays: np.ndarray) -> Any:
    return lower(run_kernel(getattr(kernel, "entry", kernel), list(arrays), RunOptions(), ()).program)


def counts(stream: Any) -> Counter[tuple[Core, Kind]]:
    return Counter((Core(c), Kind(k)) for c, k in zip(stream.core.tolist(), stream.kind.tolist(), strict=True))


def pipe(rounds: int) -> Any:
    @pl.program
    class Program:
        @pl.function(type=pl.FunctionType.AIC)
        def cube(self, a: T, o: pl.Out[T]):
            pl.aic_initialize_pipe(dir_mask=1, slot_size=SLOT, slot_num=2)
            for _k in pl.range(rounds):
                x = pl.load(a, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
                pl.tpush_to_aiv(pl.matmul(x, x), split=1)

        @pl.function(type=pl.FunctionType.AIV)
        def vector(self, a: T, o: pl.Out[T]):
            pl.aiv_initialize_pipe(dir_mask=1, slot_size=SLOT, slot_num=2)
            for _k in pl.range(rounds):
                t = pl.tpop_from_aic(split=1)
                u = pl.add(t, 1.0)
                pl.tfree_to_aic(t)
                o = pl.store(u, [0, 0], o)

        @pl.function(type=pl.FunctionType.Group)
        def group(self, a: T, o: pl.Out[T]):
            self.cube(a, o)
            self.vector(a, o)
            return o

        @pl.function(type=pl.FunctionType.Orchestration)
        def main(self, a: T, o: pl.Out[T]):
            return self.group(a, o)

    return Program


def test_a_split_pipe_moves_a_tile_once_from_the_cube_and_half_of_it_to_each_lane() -> None:
    found = lowered(pipe(3), A, np.zeros_like(A))
    (stream,) = found.workload.streams
    n = counts(stream)
    assert n[Core.AIC, Kind.L0C_TO_GM] == 3
    for lane in (Core.AIV0, Core.AIV1):
        assert n[lane, Kind.GM_TO_UB] == n[lane, Kind.UB_TO_GM] == n[lane, Kind.CROSS_SET] == 3
        loads = (stream.core == int(lane)) & (stream.kind == int(Kind.GM_TO_UB))
        assert set(map(tuple, stream.args[loads, :2].tolist())) == {(1, 8 * 16 * 4)}
    # The third push waits for the slot of the first, which both lanes free.
    assert n[Core.AIC, Kind.CROSS_WAIT] == 1
    wait = next(
        i for i in range(len(stream)) if (stream.core[i], stream.kind[i]) == (int(Core.AIC), int(Kind.CROSS_WAIT))
    )
    sources = stream.dep_indices[stream.dep_offsets[wait] : stream.dep_offsets[wait + 1]]
    assert {int(stream.core[i]) for i in sources} == {int(Core.AIV0), int(Core.AIV1)}


def test_the_rings_that_the_author_sets_up_are_in_the_heap() -> None:
    found = lowered(pipe(1), A, np.zeros_like(A))
    (batch, task) = found.workload.tasks
    assert batch.output_nbytes == (2 * SLOT,) and task.kind == "MIX"


@pl.jit
def region(a: T, o: pl.Out[T]):
    for _i in pl.spmd(1):
        c = pl.matmul(a, a)
        for lane in pl.split_aiv(2, mode=pl.SplitMode.UP_DOWN):
            o[lane * 8 : lane * 8 + 8, :] = pl.add(pl.aiv_shard(c), 1.0)


def test_the_lanes_of_a_region_have_their_own_instructions_and_share_one_push() -> None:
    found = lowered(region, A, np.zeros_like(A))
    (stream,) = found.workload.streams
    n = counts(stream)
    assert n[Core.AIC, Kind.L0C_TO_GM] == 1 and n[Core.AIC, Kind.CROSS_SET] == 1
    for lane in (Core.AIV0, Core.AIV1):
        assert n[lane, Kind.GM_TO_UB] == n[lane, Kind.UB_TO_GM] == n[lane, Kind.CROSS_WAIT] == 1
    pipe_of = found.facts[-1].pipe
    assert pipe_of is not None and (pipe_of.slot_bytes, pipe_of.slots) == (16 * 16 * 4, 2)


@pl.jit
def synchronised(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        o[:, :] = pl.neg(a)
        pl.system.bar_all()
        pl.system.fence()
        pl.system.cacheinvalid()
        pl.system.cacheinvalid(o, [1, 8], [0, 0])


def test_barriers_fences_and_cache_operations_have_instructions() -> None:
    (stream,) = lowered(synchronised, A, np.zeros_like(A)).workload.streams
    n = counts(stream)
    assert n[Core.AIV0, Kind.BARRIER] == 2 and n[Core.AIV0, Kind.CACHE_INVALIDATE] == 2
    whole = stream.args[stream.kind == int(Kind.CACHE_INVALIDATE), 0].tolist()
    assert whole == [1, 0]


@pl.jit
def chain_over_k(
    a: pl.Tensor[[272, 256], pl.INT8], b: pl.Tensor[[256, 144], pl.INT8], o: pl.Out[pl.Tensor[[272, 144], pl.INT32]]
):
    with pl.at(level=pl.Level.CORE_GROUP):
        acc = pl.create_tensor([272, 144], dtype=pl.INT32)
        for kb in pl.pipeline(0, 2, stage=2):
            at = a[0:272, kb * 128 : kb * 128 + 128]
            bt = b[kb * 128 : kb * 128 + 128, 0:144]
            if kb == 0:
                acc = pl.matmul(at, bt, out_dtype=pl.INT32)
            else:
                acc = pl.matmul_acc(acc, at, bt)
        o[0:272, 0:144] = acc


def test_an_accumulator_over_k_that_l0c_cannot_hold_is_cut_along_m_and_n() -> None:
    """272 x 144 INT32 takes 288 x 144 x 4 = 165888 bytes of 131072 (rows in groups of 32)."""
    a, b = np.ones((272, 256), np.int8), np.ones((256, 144), np.int8)
    done = run_kernel(chain_over_k, [a, b, np.zeros((272, 144), np.int32)], RunOptions(), ())
    assert (done.outputs["o"] == 256).all()
    assert lower(done.program).facts[-1].onchip_peak_bytes["acc"] <= 128 * 1024


def deep(slots: int) -> Any:
    @pl.jit
    def kernel(a: pl.Tensor[[128, 256], pl.FP32], o: pl.Out[pl.Tensor[[128, 128], pl.FP32]]):
        with pl.at(level=pl.Level.CORE_GROUP, optimizations=[pl.cross_core_slot(slot_num=slots)]):
            o[:, :] = pl.add(pl.matmul(a[:, 0:128], a[:, 128:256], b_trans=True), 1.0)

    return kernel


def deep_by_its_long_name(slots: int) -> Any:
    @pl.jit
    def kernel(a: pl.Tensor[[128, 256], pl.FP32], o: pl.Out[pl.Tensor[[128, 128], pl.FP32]]):
        with pl.at(level=pl.Level.CORE_GROUP, optimizations=[pl.optimizations.cross_core_slot(slot_num=slots)]):
            o[:, :] = pl.add(pl.matmul(a[:, 0:128], a[:, 128:256], b_trans=True), 1.0)

    return kernel


def deep_by_its_split(slots: int) -> Any:
    @pl.jit
    def kernel(a: pl.Tensor[[128, 256], pl.FP32], o: pl.Out[pl.Tensor[[128, 128], pl.FP32]]):
        with pl.at(level=pl.Level.CORE_GROUP, optimizations=[pl.split(pl.SplitMode.NONE, slot_num=slots)]):
            o[:, :] = pl.add(pl.matmul(a[:, 0:128], a[:, 128:256], b_trans=True), 1.0)

    return kernel


@pytest.mark.parametrize("kernel", [deep, deep_by_its_long_name, deep_by_its_split])
def test_slots_that_a_core_cannot_hold_are_refused_and_fewer_are_not(kernel: Any) -> None:
    """A 128 x 128 FP32 tile takes 64 KiB: 2 slots fit the 184 KiB of UB, 4 do not."""
    a, o = np.ones((128, 256), np.float32), np.zeros((128, 128), np.float32)
    lowered(kernel(2), a, o)
    with pytest.raises(KernelError, match="PTO301") as caught:
        lowered(kernel(4), a, o)
    assert "262144 B of slots, 188416 B available" in str(caught.value)
