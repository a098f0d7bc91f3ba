"""simulate(workload, spec): the whole chip, from submission to the last completion.

Every block is timed alone once (`core`), then the tasks run under the runtime's rules (`aicpu`) while blocks
that overlap share L2 and HBM (`memory`). The result is deterministic: SimPy orders events by time, priority and
creation, and nothing depends on a hash or a clock of the host.

Limits: the runtime claims ready blocks greedily, so a workload of independent branches that compete for cores
can, as on any such scheduler, end sooner when one branch is made slower. A task chain cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ascend_model.aicpu import RunRecord, run_on_device
from ascend_model.chipspec import ChipSpec
from ascend_model.clusters import TaskRun
from ascend_model.core import BlockTiming, BlockTimingCache
from ascend_model.heap import frame_depth
from ascend_model.ring import DEFAULT_HEAP_BYTES, RingSizes
from ascend_model.runtime_state import Progress
from ascend_model.steps import critical_path
from ascend_model.timeline import BlockSpan, Machine, TaskSpan, Timeline
from ascend_model.utilisation import chip_pipes, task_pipes
from ascend_model.workload import Workload


def simulate(
    workload: Workload,
    spec: ChipSpec,
    *,
    heap_bytes: RingSizes | tuple[int, int, int, int] = (DEFAULT_HEAP_BYTES,) * 4,
    cores: int | None = None,
    cache: BlockTimingCache | None = None,
    frame: int | None = None,
    progress: Progress | None = None,
) -> Timeline:
    """Simulates one run; times in microseconds from the orchestrator's first event.

    heap_bytes: heap of each ring, or all ring sizes. cores: clusters in use, 1 to `spec.clusters` (the default).
    cache: timings of blocks, kept by the caller between runs. frame: see `heap.read_heap`. progress: called
    after every completed task. Raises RingFault where the runtime stops with an error code, StandstillError if
    nothing can go on, ValueError for a workload that does not fit together.
    """
    clusters = spec.clusters if cores is None else cores
    if not 1 <= clusters <= spec.clusters:
        raise ValueError(f"cores must be from 1 to {spec.clusters}, the clusters of chip {spec.name}; got {cores}")
    sizes = heap_bytes if isinstance(heap_bytes, RingSizes) else RingSizes(heap_bytes=tuple(heap_bytes))
    record = run_on_device(
        workload,
        spec,
        sizes,
        clusters=clusters,
        frame_depth=frame_depth(workload) if frame is None else frame,
        cache={} if cache is None else cache,
        progress=progress,
    )
    return _timeline(record, spec)


def _timeline(record: RunRecord, spec: ChipSpec) -> Timeline:
    core_hz = spec["clock.core_hz"]
    cores = {"AIC": record.clusters, "AIV": record.clusters * record.aiv_per_cluster}
    return Timeline(
        chip=spec.name,
        total_us=record.total_us,
        tasks=tuple(_task_span(run, core_hz) for run in record.runs),
        blocks=tuple(span for run in record.runs for span in _block_spans(run)),
        critical_path=critical_path(record.last_step, record.total_us),
        pipes=chip_pipes(record.runs, cores, record.total_us, core_hz),
        heap=record.heap,
        runtime_phases=record.phases,
        machine=Machine(record.clusters, record.aiv_per_cluster, int(spec["runtime.scheduler_threads"]), core_hz),
    )


def _task_span(run: TaskRun, core_hz: float) -> TaskSpan:
    busy_us = sum((block.end_us - block.start_us) * len(block.cores) for block in run.blocks)
    return TaskSpan(
        task=run.index,
        name=run.task.name,
        kind=run.task.kind,
        blocks=run.block_count,
        submit_us=run.submit_us,
        ready_us=run.ready_us,
        start_us=run.start_us,
        end_us=run.end_us,
        core_busy_us=busy_us,
        pipes=task_pipes(run, core_hz),
    )


def _block_spans(run: TaskRun) -> Iterator[BlockSpan]:
    busy: dict[int, list[Mapping[str, float]]] = {}  # by timing: blocks of equal streams share their figures
    for block in run.blocks:
        timing = block.cost.timing
        if id(timing) not in busy:
            busy[id(timing)] = [_busy_cycles(timing, core) for core in _cores_in(timing, run)]
        dispatched = 0.0 if block.dispatch is None else block.dispatch.end_us
        for core, cycles in zip(block.cores, busy[id(timing)], strict=True):
            yield BlockSpan(
                run.index, block.index, core.name, block.start_us, block.end_us, dispatched, block.received_us,
                block.seen_us, cycles,
            )  # fmt: skip


def _cores_in(timing: BlockTiming, run: TaskRun) -> list[str]:
    """Names in the timing of the cores that a block runs on. A lone AIV1 runs as an AIV0."""
    named = {use.pipe.split(".")[0] for use in timing.pipes}
    if len(run.cores) == 1 and len(named) == 1:
        return list(named)
    return [core.name for core in run.cores]


def _busy_cycles(timing: BlockTiming, core: str) -> Mapping[str, float]:
    uses = (use for use in timing.pipes if use.pipe.startswith(f"{core}."))
    return MappingProxyType({use.pipe.partition(".")[2]: use.busy_cycles for use in uses})
