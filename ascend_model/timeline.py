"""What a simulation returns: intervals, utilisation with reasons for idleness, heap readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class PipeUse:
    """One pipe of one core kind, summed over a block or a task, in cycles.

    busy_cycles + sum(idle_cycles.values()) == total_cycles. Reasons are the closed set `isa.WaitReason`.
    """

    pipe: str
    total_cycles: float
    busy_cycles: float
    idle_cycles: dict[str, float]


@dataclass(frozen=True, slots=True)
class TaskSpan:
    """Where the time of one task went, in microseconds from the start of the run.

    submit_us: the orchestrator has submitted it; ready_us: its fan-in is done; start_us, end_us: first
    block start and last block end on a core (for ALLOC and DUMMY the moment of retirement).
    """

    task: int
    name: str
    kind: str
    blocks: int
    submit_us: float
    ready_us: float
    start_us: float
    end_us: float
    core_busy_us: float
    pipes: tuple[PipeUse, ...] = ()


class BlockSpan(NamedTuple):
    """One block of a task on one core: `core` is 'AIC_3', 'AIV_7', ... Times in microseconds.

    dispatch_us: a scheduler had published it; received_us: the core took it up; seen_us: a scheduler could see that
    it had finished. busy_cycles: of this core's pipes, by pipe, when the block runs alone.
    """

    task: int
    block: int
    core: str
    start_us: float
    end_us: float
    dispatch_us: float = 0.0
    received_us: float = 0.0
    seen_us: float = 0.0
    busy_cycles: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Machine:
    """What the run used of the chip: clusters of one AIC and its AIVs, and the threads that schedule them."""

    clusters: int
    aiv_per_cluster: int
    scheduler_threads: int
    core_hz: float


@dataclass(slots=True)  # not frozen, which would make it four times as slow to create, and a run has many
class PathStep:
    """A piece of the critical path. `what` names the task or the runtime step; `reason` says why it waited.

    Of a step of the runtime: thread ('orchestrator', 'scheduler 0', ...), kind ('submit', 'dispatch', 'complete',
    'resolve', ...) and count, the blocks it dealt with. Empty and 1 for anything else. ready: how many ready tasks of
    each shape (AIC, AIV, MIX) had blocks that waited for a core when a scheduler's step ended.
    """

    what: str
    task: int | None
    reason: str
    start_us: float
    end_us: float
    thread: str = ""
    kind: str = ""
    count: int = 1
    ready: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class ScopeReading:
    """Heap counters of one scope instance, in bytes, as the runtime samples them."""

    site: str
    depth: int
    ring: int
    alloc_bytes: int
    high_water_bytes: int
    residency_bytes: int


class HeapBlock(NamedTuple):
    """Where the heap block of one task was placed: bytes [begin, end) of its ring's heap.

    task: index into `Workload.tasks`; local_id counts within the ring. oldest_live_id: the oldest task of the ring
    that had not given back its block when this one was placed. output_nbytes: what the task asked for, unrounded.
    """

    task: int
    ring: int
    local_id: int
    begin_bytes: int
    end_bytes: int
    oldest_live_id: int
    output_nbytes: tuple[int, ...]


@dataclass(frozen=True)
class HeapReading:
    """One reading of the ring heaps: 'max_lag', 'prompt' or 'simulated'.

    samples: begin/end records with the fields of scope_stats.jsonl version 6, oldest first.
    rings: ring index -> (capacity_bytes, high_water_bytes).
    frame_residency_bytes: residency of the entry function's frame when it ends.
    blocks: every task's block, in the order of placement; empty for a run that stopped.
    """

    reading: str
    rings: dict[int, tuple[int, int]]
    scopes: tuple[ScopeReading, ...]
    samples: tuple[dict[str, object], ...]
    frame_residency_bytes: int
    max_scope_depth: int
    blocks: tuple[HeapBlock, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """The result of `chip.simulate`. total_us is the end of the last event on the device."""

    chip: str
    total_us: float
    tasks: tuple[TaskSpan, ...]
    blocks: tuple[BlockSpan, ...]
    critical_path: tuple[PathStep, ...]
    pipes: tuple[PipeUse, ...]
    heap: HeapReading
    runtime_phases: tuple[PathStep, ...] = field(default=())
    machine: Machine | None = None
