"""Edges between tasks, as the runtime finds them when the orchestrator submits.

For each argument: an edge to the task that owns the buffer, then a TensorMap lookup for the directions that
read; writes are registered after all arguments (simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/
pto_dep_compute.h). A later OUTPUT_EXISTING writer is not ordered after an earlier one, and nothing is ordered
after a reader. Tasks in a MANUAL scope have explicit edges only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ascend_model.workload import Edge
from pto_sim.lowering.directions import INOUT, INPUT, OUTPUT_EXISTING
from pto_sim.lowering.dtypes import itemsize_bytes
from pto_sim.lowering.statement_lists import HostAccess
from pto_sim.lowering.tensor_map import Match, Region, TensorMap
from pto_sim.program.model import Program, TaskArg, TensorInfo


class EdgeNote(NamedTuple):
    """Why an edge exists: one for each way in which a task found an earlier one.

    edge: before edges of one pair are merged. arg: position among the consumer's tensor arguments, its pipe buffer
    last; -1 for an explicit one. match: what the lookup found; None for another source.
    """

    consumer: int
    edge: Edge
    arg: int = -1
    match: Match | None = None


class DependencyTracker:
    """Edges of the tasks of one run, asked for in submission order. note: told why each edge exists."""

    def __init__(self, program: Program, note: Callable[[EdgeNote], None] | None = None) -> None:
        self.program, self._note = program, note
        self.map = TensorMap()
        self.owner: dict[int, int] = {}
        self.task_of: dict[int, int] = {}

    def allocate(self, tensor: int, task: int) -> None:
        """Task `task` is the allocation batch that owns `tensor`."""
        self.owner[tensor] = task

    def submit(
        self, record: int, task: int, directions: tuple[str, ...], *, manual: bool, pipe_owner: int | None
    ) -> tuple[Edge, ...]:
        """Edges of the launch of `record` as `task`. pipe_owner: the batch that owns its pipe buffer, if it has one.

        The pipe buffer is allocated with manual_dep, so it gives a creator edge only.
        """
        edges: dict[int, Edge] = {}
        recorded = self.program.tasks[record]
        self.task_of[record] = task
        for dependency in recorded.explicit_deps:
            if dependency in self.task_of:
                self._add(edges, EdgeNote(task, Edge(self.task_of[dependency], "explicit", wait=True, retain=True)))
        if manual:
            return tuple(edges.values())
        tracked = [self._tracks(arg) for arg in recorded.args]
        for place, (arg, direction, is_tracked) in enumerate(zip(recorded.args, directions, tracked, strict=True)):
            if arg.tensor in self.owner:
                self._add(edges, EdgeNote(task, Edge(self.owner[arg.tensor], "creator", wait=True, retain=True), place))
            if is_tracked and direction in (INPUT, INOUT):
                for match in self._matches(arg, direction):
                    self._add(edges, EdgeNote(task, Edge(match.producer, "tensormap", wait=True), place, match))
        if pipe_owner is not None:
            place = len(recorded.args)
            self._add(edges, EdgeNote(task, Edge(pipe_owner, "creator", wait=True, retain=True), place))
        for arg, direction, is_tracked in zip(recorded.args, directions, tracked, strict=True):
            if is_tracked and direction in (INOUT, OUTPUT_EXISTING):
                self.map.register(arg.tensor, _region(arg, self.program.tensors[arg.tensor]), task)
        return tuple(edges.values())

    def producers_of(self, access: HostAccess) -> tuple[int, ...]:
        """The tasks that the orchestrator waits for before it touches a view: its owner and whoever wrote to it."""
        info = self.program.tensors[access.tensor]
        region = Region(access.offset, access.shape, access.strides, info.dtype)
        size = info.nbytes // itemsize_bytes(info.dtype)
        found = [match.producer for match in self.map.lookup(access.tensor, region, size, retire_covered=False)]
        owner = [self.owner[access.tensor]] if access.tensor in self.owner else []
        return tuple(dict.fromkeys(owner + found))

    def _add(self, edges: dict[int, Edge], note: EdgeNote) -> None:
        if self._note is not None:
            self._note(note)
        _merge(edges, note.edge)

    def _matches(self, arg: TaskArg, direction: str) -> list[Match]:
        info = self.program.tensors[arg.tensor]
        size = info.nbytes // itemsize_bytes(info.dtype)
        return self.map.lookup(arg.tensor, _region(arg, info), size, retire_covered=direction == INOUT)

    def _tracks(self, arg: TaskArg) -> bool:
        """Whether the argument is looked up and registered: not one that the author left out (pl.no_dep).

        A view of a manual_dep tensor is tracked again: generated views reset the flag
        (simpler: src/common/task_interface/tensor.h).
        """
        info = self.program.tensors[arg.tensor]
        if arg.no_dep:
            return False
        return not info.manual_dep or arg.offset != 0 or arg.shape != info.shape


def _region(arg: TaskArg, info: TensorInfo) -> Region:
    return Region(arg.offset, arg.shape, arg.strides, info.dtype)


def _merge(edges: dict[int, Edge], edge: Edge) -> None:
    """One edge for each producer: the first source is kept, flags are or'ed."""
    known = edges.get(edge.producer)
    if known is None:
        edges[edge.producer] = edge
    elif (edge.retain and not known.retain) or (edge.wait and not known.wait):
        edges[edge.producer] = Edge(
            edge.producer, known.source, wait=known.wait or edge.wait, retain=known.retain or edge.retain
        )
