"""Streams of known length, and laws that every simulated run obeys."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ascend_model.chipspec import ChipSpec
from ascend_model.isa import Core, Kind, StreamBuilder, VecOp
from ascend_model.timeline import PipeUse, Timeline
from ascend_model.workload import InstructionStream

CYCLES = 3700  # 2 us at 1.85 GHz


def scalar(cores: tuple[Core, ...] = (Core.AIV0,), cycles: int = CYCLES) -> InstructionStream:
    """Each core computes for `cycles`; no memory traffic."""
    builder = StreamBuilder()
    for core in cores:
        builder.append(Kind.SCALAR, core, (cycles,))
    return builder.build()


def copy(nbytes: int) -> InstructionStream:
    """GM to UB, one vector instruction, UB to GM."""
    builder = StreamBuilder()
    load = builder.append(Kind.GM_TO_UB, Core.AIV0, (1, nbytes))
    work = builder.append(Kind.VEC, Core.AIV0, (int(VecOp.EXP), 1, nbytes, 1), (load,))
    builder.append(Kind.UB_TO_GM, Core.AIV0, (1, nbytes), (work,))
    return builder.build()


MIX = (Core.AIC, Core.AIV0, Core.AIV1)
STREAMS = (scalar(), scalar((Core.AIC,)), scalar(MIX), copy(16384), copy(131072))
AIV, AIC, MIXED, SMALL_COPY, LARGE_COPY = range(5)


def check_laws(timeline: Timeline, clusters: int, spec: ChipSpec) -> None:
    """Paths are contiguous, every pipe's time is accounted for, and no core runs two blocks at once."""
    path = timeline.critical_path
    assert path[0].start_us == 0 and path[-1].end_us == timeline.total_us
    for before, after in pairwise(path):
        assert before.end_us == after.start_us
    assert all(step.end_us > step.start_us for step in path)
    assert sum(step.end_us - step.start_us for step in path) == timeline.total_us
    cycles = timeline.total_us * spec["clock.core_hz"] / 1e6
    uses: list[PipeUse] = [*timeline.pipes, *(pipe for task in timeline.tasks for pipe in task.pipes)]
    for use in uses:
        assert use.busy_cycles + sum(use.idle_cycles.values()) == use.total_cycles
        assert use.busy_cycles >= 0 and all(value >= 0 for value in use.idle_cycles.values())
    for use in timeline.pipes:
        count = clusters * (2 if use.pipe.startswith("AIV") else 1)
        assert use.total_cycles == pytest.approx(cycles * count, rel=1e-9)
    busy: dict[str, list[tuple[float, float]]] = {}
    for block in timeline.blocks:
        busy.setdefault(block.core, []).append((block.start_us, block.end_us))
    for spans in busy.values():
        spans.sort()
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
    for task in timeline.tasks:
        assert 0 <= task.submit_us <= task.ready_us <= task.start_us <= task.end_us <= timeline.total_us
