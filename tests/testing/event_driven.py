"""A second way to run a `TaskProgram`: out of order, on the bytes of real ring heaps.

The engine runs tasks in program order on arrays of their own. Here the orchestrator, the cores and the reclaiming
schedulers take turns in an order that a seed picks among everything that the edges and the rings allow; a tensor
lives in the bytes that the ring gave it, and these are overwritten when the next block is placed there. A task reads
when it starts and writes when it ends, block by block, so a missing edge or a block that is reclaimed too early
changes the output.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from ascend_model.orchestration import Orchestration
from ascend_model.ring import OUTPUT_ALIGN_BYTES, Blocked, RingSizes
from ascend_model.workload import ScopeBegin, ScopeEnd, Submit
from pto_sim.lowering.lowered import LoweredProgram
from pto_sim.testing.task_program import COLUMNS, INPUT, OUTPUT, ROWS, TaskProgram
from pto_sim.testing.unrolling import BoundLaunch, Buffer, Created, chunk_rows, unroll

POISON = 0x5A
CHUNK_BYTES = ROWS * COLUMNS * 4


class EventDriven:
    """One run of `program` with the tasks and edges of `lowered`, on rings of `sizes`. Raises RingFault."""

    def __init__(self, program: TaskProgram, lowered: LoweredProgram, sizes: RingSizes, seed: int) -> None:
        self.workload = lowered.workload
        self.state = Orchestration(self.workload, sizes)
        self.random = random.Random(seed)
        self.heaps = [np.full(size, POISON, np.uint8) for size in sizes.heap_bytes]
        steps = list(unroll(program))
        self.created: dict[str, list[Created]] = {}
        for step in steps:
            if isinstance(step, Created):
                self.created.setdefault(step.buffer[0], []).append(step)
        self.launch_of = self._match(lowered, [step for step in steps if isinstance(step, BoundLaunch)])
        self.memory: dict[Buffer, np.ndarray] = {}
        self.waiting: list[int] = []
        self.running: dict[int, list[np.ndarray]] = {}
        self.unreleased: list[int] = []

    def _match(self, lowered: LoweredProgram, launches: list[BoundLaunch]) -> dict[int, BoundLaunch]:
        """Which launch each task of the workload is: both are in program order."""
        tasks = [fact.task for fact in lowered.facts if fact.record >= 0]
        assert len(tasks) == len(launches)
        return dict(zip(tasks, launches, strict=True))

    def run(self, arguments: Sequence[np.ndarray]) -> np.ndarray:
        """The output."""
        self.memory[INPUT, ()] = arguments[0]
        self.memory[OUTPUT, ()] = arguments[1].copy()
        events = list(self.workload.events)
        position, step = 0, "allocate"
        while position < len(events) or self.waiting or self.running:
            blocked = None
            if position < len(events) and self.random.random() < 0.5:
                event = events[position]
                if isinstance(event, Submit):
                    step, blocked = self._submit(event.task, step)
                elif isinstance(event, ScopeBegin):
                    self.state.begin_scope(event)
                else:
                    assert isinstance(event, ScopeEnd)
                    self.state.end_scope()
                position += step == "allocate" and blocked is None
            if not self._turn_of_the_others(blocked) and blocked and self._nothing_left():
                raise self.state.fault(events[position].task, blocked)
        return self.memory[OUTPUT, ()]

    def _submit(self, task: int, step: str) -> tuple[str, Blocked | None]:
        """One try to submit. Returns what comes next, and what it waits for."""
        if step == "allocate":
            blocked = self.state.allocate(task)
            if blocked is not None:
                return "allocate", blocked
            self._place(task)
        blocked = self.state.wire(task)
        if blocked is not None:
            return "wire", blocked
        if self.workload.tasks[task].kind != "ALLOC":
            self.waiting.append(task)
        return "allocate", None

    def _place(self, task: int) -> None:
        """The tensors of an allocation batch get the bytes of its block, which are poisoned."""
        record = self.workload.tasks[task]
        if not record.output_names:
            return
        ring = self.state.ring
        at = ring.allocation(ring.next_id - 1).begin
        for name, nbytes in zip(record.output_names, record.output_nbytes, strict=True):
            created = self.created[name].pop(0)
            assert nbytes == created.chunks * CHUNK_BYTES
            view = self.heaps[ring.index][at : at + nbytes]
            view[:] = POISON
            self.memory[created.buffer] = view.view(np.int32).reshape(-1, COLUMNS)
            at += -(-nbytes // OUTPUT_ALIGN_BYTES) * OUTPUT_ALIGN_BYTES

    def _turn_of_the_others(self, blocked: Blocked | None) -> bool:
        """Some task starts, some task ends, some scheduler lets go and reclaims; says whether anything happened."""
        before = (len(self.waiting), len(self.running), len(self.unreleased))
        ready = [task for task in self.waiting if self._ready(task)]
        if ready and self.random.random() < 0.5:
            self._start(self.random.choice(ready))
        if self.running and self.random.random() < 0.5:
            self._end(self.random.choice(list(self.running)))
        retired = 0
        if self.unreleased and (blocked or self.random.random() < 0.2):
            self.state.release(self.unreleased.pop(self.random.randrange(len(self.unreleased))))
        if blocked or self.random.random() < 0.2:
            retired = sum(self.state.advance(ring) for ring in self.state.rings)
        return before != (len(self.waiting), len(self.running), len(self.unreleased)) or retired > 0

    def _nothing_left(self) -> bool:
        """Every submitted task has run and let go: only the orchestrator could free anything."""
        return not (self.waiting or self.running or self.unreleased)

    def _ready(self, task: int) -> bool:
        return all(self.state.completed[edge.producer] for edge in self.workload.tasks[task].edges if edge.wait)

    def _start(self, task: int) -> None:
        """The task reads everything it needs."""
        self.waiting.remove(task)
        bound = self.launch_of[task]
        self.running[task] = [bound.value(self.memory, block) for block in range(bound.launch.blocks)]

    def _end(self, task: int) -> None:
        """The task writes, its blocks in any order, and is complete."""
        bound, values = self.launch_of[task], self.running.pop(task)
        buffer, chunk = bound.target
        for block in self.random.sample(range(len(values)), len(values)):
            chunk_rows(self.memory[buffer], chunk + block)[:] = values[block]
        self.state.complete(task)
        self.unreleased.append(task)
