"""Cores as the runtime uses them: two slots each, blocks that run in them, and the GM bandwidth they share.

A core has a running and a pending slot. A block starts when it has been delivered to all of its cores and is
the oldest block of each; a pending one therefore starts a pickup after its predecessor ends, without a
scheduler. Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/docs/RUNTIME_LOGIC.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

import numpy as np
import simpy

from ascend_model.chipspec import ChipSpec
from ascend_model.core import BlockTiming, BlockTimingCache, time_block
from ascend_model.isa import Core, WaitReason
from ascend_model.memory import BlockDemand, SharedMemory, block_demand, first_touch_share
from ascend_model.runtime_costs import RuntimeCosts, grid_us
from ascend_model.signals import Signal
from ascend_model.steps import BUSY, Step
from ascend_model.workload import Task, Workload

SHAPES = ("MIX", "AIC", "AIV")
"""What a block occupies: all its cores of one cluster, an AIC, or an AIV."""

_KIND_CORES: dict[str, tuple[Core, ...]] = {
    "AIC": (Core.AIC,),
    "AIV": (Core.AIV0,),
    "MIX": (Core.AIC, Core.AIV0, Core.AIV1),
}

SLOTS_PER_CORE = 2


@unique
class Early(Enum):
    """How far a task's early dispatch has come: none, its blocks are put on cores behind a gate, or it is ready."""

    NONE = "none"
    STAGING = "staging"
    READY = "ready"


_ROUNDING_US = 2.0**-21


@dataclass(eq=False, slots=True)
class DeviceCore:
    """One AIC or AIV. owner: its scheduler thread. slots: blocks that the thread has given it and not yet seen
    finished. queue: blocks placed and not yet ended, the running one first.
    """

    name: str
    cluster: int
    owner: int
    slots: int = 0
    queue: deque[BlockRun] = field(default_factory=deque)
    used_before: bool = False
    last_step: Step | None = None

    @property
    def taken(self) -> int:
        """Slots that no further block can have. A block behind its gate keeps both, so that none waits behind it."""
        for block in self.queue:
            if block.held:
                return SLOTS_PER_CORE
        return self.slots


@dataclass(eq=False)
class Cluster:
    """One AIC and its AIVs; `cores` is indexed by `isa.Core`. `owner` is its scheduler thread. aivs: each AIV alone."""

    index: int
    owner: int
    cores: tuple[DeviceCore, ...]
    aivs: tuple[tuple[DeviceCore], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.aivs = tuple((core,) for core in self.cores[Core.AIV0 :])


@dataclass(frozen=True, eq=False)
class StreamCost:
    """A stream alone on a cluster, and what it asks of the shared memory as part of one task."""

    timing: BlockTiming
    demand: BlockDemand


@dataclass(eq=False, slots=True)
class TaskRun:
    """A task on its way: its blocks, and when it was submitted, ready, started and ended (us; a negative
    start is none yet).

    early_producers: producers that it waits for, -1 if one of them does not allow early dispatch. early_fanin: those
    that were complete when it was submitted, or have published all their blocks. published: blocks that cores have
    been told of. propagated: its consumers have been told that all of them were.
    """

    index: int
    task: Task
    shape: str
    cores: tuple[Core, ...]
    costs: tuple[StreamCost, ...]
    next_block: int = 0
    unfinished: int = 0
    fanin: int = 0
    consumers: list[TaskRun] = field(default_factory=list)
    claimed_by: set[int] = field(default_factory=set)
    submitted: bool = False
    submit_us: float = 0.0
    ready_us: float = 0.0
    start_us: float = -1.0
    last_start_us: float = 0.0
    end_us: float = 0.0
    ready_step: Step | None = None
    early: Early = Early.NONE
    early_producers: int = -1
    early_fanin: int = 0
    published: int = 0
    propagated: bool = False
    blocks: list[BlockRun] = field(default_factory=list)

    @property
    def block_count(self) -> int:
        """Blocks of the task, claimed or not."""
        return len(self.task.block_streams)


@dataclass(eq=False, slots=True)
class BlockRun:
    """A block that a scheduler has claimed for the cores it runs on.

    gate: of a block that was staged early; it opens when the producers have completed. release: the step that did that.
    """

    run: TaskRun
    index: int
    cores: tuple[DeviceCore, ...]
    finished: simpy.Event
    dispatch: Step | None = None
    delivered: bool = False
    received_us: float = 0.0
    start_us: float = 0.0
    end_us: float = 0.0
    seen_us: float = 0.0
    step: Step | None = None
    gate: simpy.Event | None = None
    release: Step | None = None

    @property
    def held(self) -> bool:
        """Whether its gate is closed."""
        return self.gate is not None and not self.gate.triggered

    @property
    def owner(self) -> int:
        """The scheduler thread of its cluster."""
        return self.cores[0].owner

    @property
    def runs(self) -> bool:
        """Whether it is the oldest block of each of its cores: running, or about to."""
        return not self.held and all(bool(core.queue) and core.queue[0] is self for core in self.cores)

    @property
    def cost(self) -> StreamCost:
        """Cost of the stream that the block executes."""
        return self.run.costs[self.index]


def build_clusters(count: int, aiv_per_cluster: int, threads: int) -> tuple[Cluster, ...]:
    """Clusters 0 .. count-1, dealt to the scheduler threads in turn."""
    clusters = []
    for index in range(count):
        names = [f"AIC_{index}", *(f"AIV_{index * aiv_per_cluster + lane}" for lane in range(aiv_per_cluster))]
        clusters.append(
            Cluster(index, index % threads, tuple(DeviceCore(name, index, index % threads) for name in names))
        )
    return tuple(clusters)


def task_runs(workload: Workload, spec: ChipSpec, cache: BlockTimingCache) -> list[TaskRun]:
    """Every task with the isolated timing of its blocks. Equal streams are timed once.

    Raises ValueError when a task's kind, streams and distinct bytes do not fit together.
    """
    stream_cores = [frozenset(Core(core) for core in np.unique(stream.core)) for stream in workload.streams]
    timings: dict[int, BlockTiming] = {}
    runs = []
    for index, task in enumerate(workload.tasks):
        used = sorted(set(task.block_streams.tolist()))
        for stream in used:
            if stream not in timings:
                timings[stream] = time_block(workload.streams[stream], spec, cache)
        cores = _cores_of(task, frozenset().union(*(stream_cores[stream] for stream in used)))
        shape = "MIX" if len(cores) > 1 else cores[0].name[:3] if cores else task.kind
        costs = _stream_costs(task, timings, spec)
        runs.append(TaskRun(index, task, shape, cores, costs, unfinished=len(task.block_streams)))
    return runs


def _cores_of(task: Task, used: frozenset[Core]) -> tuple[Core, ...]:
    """Cores of a cluster that a block needs. A lone AIV1 counts as AIV0: any AIV of any cluster will do."""
    if task.kind in ("ALLOC", "DUMMY"):
        if len(task.block_streams):
            raise ValueError(f"task {task.id} ({task.name}): a task of kind {task.kind} has no blocks")
        return ()
    if task.kind not in _KIND_CORES:
        raise ValueError(f"task {task.id} ({task.name}): kind {task.kind!r}; allowed: AIC, AIV, MIX, ALLOC, DUMMY")
    if not len(task.block_streams):
        raise ValueError(f"task {task.id} ({task.name}): a task of kind {task.kind} needs at least one block")
    if (task.kind == "AIC" and used - {Core.AIC}) or (task.kind == "AIV" and Core.AIC in used):
        raise ValueError(
            f"task {task.id} ({task.name}): kind {task.kind}, but its streams use {sorted(core.name for core in used)}"
        )
    if task.kind == "AIV" and len(used) < 2:
        return (Core.AIV0,)
    return tuple(sorted(used)) or _KIND_CORES[task.kind]


def _stream_costs(task: Task, timings: dict[int, BlockTiming], spec: ChipSpec) -> tuple[StreamCost, ...]:
    blocks = [timings[stream] for stream in task.block_streams.tolist()]
    read, written = task.gm_unique_nbytes
    # A load whose tile nobody uses is read by the kernel and removed by the compiler: it is no traffic.
    moved = sum(timing.gm_read_bytes for timing in blocks)
    try:
        read_share = first_touch_share(min(read, moved), moved)
        write_share = first_touch_share(written, sum(timing.gm_write_bytes for timing in blocks))
    except ValueError as error:
        raise ValueError(f"task {task.id} ({task.name}): {error}") from error
    made: dict[int, StreamCost] = {}
    for stream, timing in zip(task.block_streams.tolist(), blocks, strict=True):
        if stream not in made:
            made[stream] = StreamCost(timing, block_demand(timing, spec, read_share, write_share))
    return tuple(made[stream] for stream in task.block_streams.tolist())


class Device:
    """The clusters and their shared memory, driven by SimPy. `on_seen(block)` is called when a scheduler could
    see that a block has finished.
    """

    def __init__(
        self,
        env: simpy.Environment,
        spec: ChipSpec,
        costs: RuntimeCosts,
        clusters: tuple[Cluster, ...],
        on_seen: Callable[[BlockRun], None],
    ) -> None:
        self.clusters = clusters
        self._env = env
        self._costs = costs
        self._cycle_us = spec.cycle_us
        self._on_seen = on_seen
        self._memory = SharedMemory(spec)
        self._memory_changed = Signal(env)
        env.process(self.share_memory())

    def place(self, run: TaskRun, cores: tuple[DeviceCore, ...], *, gated: bool = False) -> BlockRun:
        """Claims the next block of a task for `cores`; it starts only after `deliver`, and a gated one after `ring`."""
        block = BlockRun(run, run.next_block, cores, self._env.event())
        block.gate = self._env.event() if gated else None
        run.next_block += 1
        run.blocks.append(block)
        for core in cores:
            core.slots += 1
            core.queue.append(block)
        return block

    def deliver(self, blocks: list[BlockRun]) -> Generator[simpy.Event, Any, None]:
        """Process: the doorbell of claimed blocks travels to their cores."""
        yield self._env.timeout(self._costs.doorbell_us)
        for block in blocks:
            block.delivered = True
            self._start_if_due(block)

    def ring(self, blocks: list[BlockRun]) -> Generator[simpy.Event, Any, None]:
        """Process: the doorbell of staged blocks travels to their cores and opens the gates."""
        yield self._env.timeout(self._costs.doorbell_us)
        for block in blocks:
            assert block.gate is not None
            block.gate.succeed()

    def _start_if_due(self, block: BlockRun) -> None:
        if block.delivered and all(core.queue[0] is block for core in block.cores):
            self._env.process(self.run_block(block))

    def run_block(self, block: BlockRun) -> Generator[simpy.Event, Any, None]:
        """Process: one block. Waits for the pickup and for its share of the bandwidth; holds its cores."""
        env, run = self._env, block.run
        previous = max((core.last_step for core in block.cores if core.last_step), key=_end, default=None)
        first = any(not core.used_before for core in block.cores)
        block.received_us = env.now
        yield env.timeout(self._costs.pickup_us + (self._costs.first_task_us if first else 0.0))
        if block.gate is not None:
            yield block.gate
        block.start_us = env.now
        run.start_us = env.now if run.start_us < 0.0 else run.start_us
        run.last_start_us = env.now
        self._memory.join(block, block.cost.demand, env.now)
        self._memory_changed.fire()
        yield block.finished
        self._record(block, previous)
        for core in block.cores:
            core.queue.popleft()
            core.used_before = True
            core.last_step = block.step
        for following in dict.fromkeys(core.queue[0] for core in block.cores if core.queue):
            self._start_if_due(following)
        yield env.timeout(self._costs.finish_us)
        block.seen_us = env.now
        self._on_seen(block)

    def _record(self, block: BlockRun, previous: Step | None) -> None:
        """The step of a block that has just ended: its work, then what L2 misses and other blocks cost it."""
        block.end_us = block.run.end_us = self._env.now
        what, task = f"{block.run.task.name} block {block.index} on {block.cores[0].name}", block.run.index
        alone_end = min(block.end_us, block.start_us + grid_us(block.cost.timing.total_cycles * self._cycle_us))
        cause = block.dispatch if block.release is None else block.release
        if previous is not None and cause is not None and previous.end_us > cause.end_us + self._costs.doorbell_us:
            cause = previous
        block.step = Step(what, task, BUSY, block.start_us, alone_end, cause)
        if alone_end < block.end_us:
            block.step = Step(what, task, WaitReason.BANDWIDTH.value, alone_end, block.end_us, block.step)

    def share_memory(self) -> Generator[simpy.Event, Any, None]:
        """Process: lets each block end when it has had its bytes. Waits for the next end or a change of the set."""
        while True:
            due = self._memory.next_end()
            if due is None:
                yield self._memory_changed.wait()
                continue
            end_us, block = due
            if end_us - self._env.now > _ROUNDING_US:
                wait = self._env.timeout(grid_us(end_us - self._env.now))
                yield wait | self._memory_changed.wait()
                continue
            self._memory.leave(block, self._env.now)
            assert isinstance(block, BlockRun)
            block.finished.succeed()


def _end(step: Step) -> float:
    return step.end_us
