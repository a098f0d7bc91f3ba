"""The roofline against its formula, and never above what the model predicts for one block alone."""

import numpy as np
import pytest

from ascend_model.chipspec import load_chip
from ascend_model.core import time_block
from ascend_model.isa import Core, Kind, StreamBuilder, VecOp
from ascend_model.roofline import Work, roofline, work_of
from ascend_model.workload import Submit, Task, Workload

SPEC = load_chip("a2a3")


def test_each_bound_is_amount_over_peak():
    bound = roofline(Work({2: 4096 * 24, 1: 8192 * 24, 4: 1024 * 24}, 48 * 128, 1_600_000, 1920), SPEC, 24)
    cycle_us = 1 / 1850
    assert bound.cube_us == pytest.approx(3 * cycle_us)
    assert bound.vector_us == pytest.approx(cycle_us)
    assert bound.hbm_us == pytest.approx(1.0)
    assert bound.l2_us == pytest.approx(cycle_us)
    assert bound.total_us == bound.hbm_us


@pytest.mark.parametrize(("side", "us"), [(3072, 159), (6144, 1275)])
def test_cube_bound_of_the_published_gemms(side, us):
    assert round(roofline(Work({2: side**3}, 0, 0, 0), SPEC, 24).cube_us) == us


def test_work_counts_every_block_of_every_task():
    b = StreamBuilder()
    b.append(Kind.MMAD, Core.AIC, (16, 32, 48, 2))
    b.append(Kind.GM_TO_L1, Core.AIC, (2, 100))
    vector = StreamBuilder()
    vector.append(Kind.VEC, Core.AIV0, (VecOp.ADD, 4, 512, 1))
    vector.append(Kind.VEC, Core.AIV0, (VecOp.MULS, 4, 512, 1))
    tasks = (
        Task(0, "a", "AIC", np.array([0, 0, 0], dtype=np.int32), gm_unique_nbytes=(200, 0)),
        Task(1, "b", "MIX", np.array([1, 0], dtype=np.int32), gm_unique_nbytes=(100, 50)),
        Task(2, "c", "ALLOC", np.array([], dtype=np.int32)),
    )
    workload = Workload((b.build(), vector.build()), tasks, tuple(Submit(i) for i in range(3)))
    work = work_of(workload, SPEC)
    assert work.macs == {2: 4 * 16 * 32 * 48}
    assert work.vector_bytes == 2048 + 1024  # a one-cycle instruction counts half
    assert work.l2_bytes == 4 * 2 * 512
    assert work.unique_gm_bytes == 350


@pytest.mark.parametrize("op", list(VecOp))
def test_no_vector_instruction_beats_its_roofline(op):
    b = StreamBuilder()
    for _ in range(50):
        b.append(Kind.VEC, Core.AIV0, (op, 64, 256, 1))
        b.append(Kind.VEC, Core.AIV1, (op, 64, 256, 1))
    stream = b.build()
    task = Task(0, "t", "AIV", np.array([0], dtype=np.int32))
    bound = roofline(work_of(Workload((stream,), (task,), (Submit(0),)), SPEC), SPEC, clusters=1)
    assert time_block(stream, SPEC).total_cycles * SPEC.cycle_us >= bound.total_us
