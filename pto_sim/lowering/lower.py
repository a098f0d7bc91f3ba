"""Program to Workload: the one entry of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ascend_model.workload import Await, Edge, Event, ScopeBegin, ScopeEnd, Submit, Task, Workload
from pto_sim.lowering.allocations import Batch, Close, Launch, Open, emit_order
from pto_sim.lowering.dependencies import DependencyTracker
from pto_sim.lowering.directions import INPUT, derive_directions
from pto_sim.lowering.gm_boxes import unique_gm_nbytes
from pto_sim.lowering.lowered import LoweredProgram, Pipe, TaskFacts
from pto_sim.lowering.pipes import check_slot_rule
from pto_sim.lowering.statement_lists import HostAccess, build_statement_lists
from pto_sim.lowering.streams import StreamPool, TaskShape
from pto_sim.program.model import Program, TaskArg


def lower(program: Program, *, pipe_slots: str = "current") -> LoweredProgram:
    """Lower a recorded program.

    pipe_slots: 'current' (two slots for each direction) or 'seed' (8 for one direction, 4 in all for both).
    Raises KernelError where tiles cannot fit on chip, UnsupportedError for an op that has no timing model,
    InputError for an unknown slot rule.
    """
    check_slot_rule(pipe_slots)
    return _Lowering(program, pipe_slots).run()


@dataclass(frozen=True)
class _Allocated:
    """Where a pipe buffer was allocated: its name and its batch's task."""

    name: str
    task: int


class _Lowering:
    def __init__(self, program: Program, pipe_slots: str) -> None:
        self.program, self.pipe_slots = program, pipe_slots
        self.pool = StreamPool(program, pipe_slots)
        self.shapes: list[TaskShape] = [self.pool.shape(record) for record in program.tasks]
        self.tracker = DependencyTracker(program)
        self.tasks: list[Task] = []
        self.facts: list[TaskFacts] = []
        self.events: list[Event] = []
        self.pipe_buffers: dict[int, _Allocated] = {}
        self.scopes: list[str] = []

    def run(self) -> LoweredProgram:
        program = self.program
        root = build_statement_lists(program.events)
        directions, pipe_directions = derive_directions(program, root)
        for emitted in emit_order(program, root, lambda record: self.shapes[record].pipe is not None):
            if isinstance(emitted, Batch):
                self._allocate(emitted)
            elif isinstance(emitted, Launch):
                self._launch(emitted.record, directions[emitted.record], pipe_directions[emitted.record])
            elif isinstance(emitted, HostAccess):
                self._host_access(emitted)
            elif isinstance(emitted, Open) and emitted.kind in ("auto", "manual"):
                self.scopes.append(emitted.kind)
                self.events.append(ScopeBegin(emitted.site, emitted.kind))
            elif isinstance(emitted, Close) and emitted.kind in ("auto", "manual"):
                self.scopes.pop()
                self.events.append(ScopeEnd())
        workload = Workload(
            streams=self.pool.instruction_streams(),
            tasks=tuple(self.tasks),
            events=tuple(self.events),
            sites=tuple(str(site) for site in program.sites),
            name=program.name,
        )
        return LoweredProgram(workload, tuple(self.facts), self.pipe_slots, self.pool.splits())

    def _host_access(self, access: HostAccess) -> None:
        producers = self.tracker.producers_of(access)
        if producers:
            self.events.append(Await(producers, access.site, consumers=access.kind == "write"))

    def _allocate(self, batch: Batch) -> None:
        task = len(self.tasks)
        names: list[str] = []
        sizes: list[int] = []
        for kind, index in batch.members:
            if kind == "tensor":
                info = self.program.tensors[index]
                self.tracker.allocate(index, task)
                names.append(info.name)
                sizes.append(info.nbytes)
            else:
                pipe = self._pipe_of(index)
                name = f"gm_pipe_buffer_{len(self.pipe_buffers)}"
                self.pipe_buffers[index] = _Allocated(name, task)
                names.append(name)
                sizes.append(pipe.total_bytes)
        first_kind, first = batch.members[0]
        site = (self.program.tensors[first] if first_kind == "tensor" else self.program.tasks[first]).site
        self._append(
            Task(
                id=task, name=f"alloc_{task}", kind="ALLOC", block_streams=np.zeros(0, np.int32),
                output_names=tuple(names), output_nbytes=tuple(sizes), early_resolve=True, site=site,
            ),
            TaskFacts(
                task=task, name=f"alloc_{task}", kind="ALLOC",
                members=batch.members,
            ),
        )  # fmt: skip

    def _pipe_of(self, record: int) -> Pipe:
        pipe = self.shapes[record].pipe
        assert pipe is not None
        return pipe

    def _launch(self, record_index: int, directions: tuple[str, ...], pipe_direction: str) -> None:
        record, shape = self.program.tasks[record_index], self.shapes[record_index]
        task = len(self.tasks)
        buffer = self.pipe_buffers.get(record_index)
        manual = bool(self.scopes) and self.scopes[-1] == "manual"
        edges: tuple[Edge, ...] = self.tracker.submit(
            record_index, task, directions, manual=manual, pipe_owner=buffer.task if buffer else None
        )
        named = [(self.program.tensors[a.tensor].name, d) for a, d in zip(record.args, directions, strict=True)]
        if buffer:
            named.append((buffer.name, pipe_direction))
        self._append(
            Task(
                id=task, name=record.name, kind=shape.kind, block_streams=shape.block_streams, edges=edges,
                tensor_args=len(named), scalar_args=len(record.scalars), sync_start=record.sync_start,
                early_resolve=record.early_resolve, predicated=record.predicated, site=record.site,
                gm_unique_nbytes=unique_gm_nbytes(record, self.program),
                registered_outputs=0 if manual else self._registered(record.args, directions),
            ),
            TaskFacts(
                task=task, name=record.name, kind=shape.kind, record=record_index, pipe=shape.pipe,
                l0_tiles=shape.l0_tiles, onchip_peak_bytes=shape.peaks, directions=tuple(named),
            ),
        )  # fmt: skip

    def _registered(self, args: Sequence[TaskArg], directions: Sequence[str]) -> int:
        """TensorMap entries that a task makes: one for each output that is not a manual_dep tensor."""
        return sum(
            direction != INPUT and not arg.no_dep and not self.program.tensors[arg.tensor].manual_dep
            for arg, direction in zip(args, directions, strict=True)
        )

    def _append(self, task: Task, facts: TaskFacts) -> None:
        self.tasks.append(task)
        self.facts.append(facts)
        self.events.append(Submit(task.id))
