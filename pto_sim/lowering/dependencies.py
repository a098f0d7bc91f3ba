"""Edges between tasks, as the runtime finds them when the orchestrator submits.

For each argument: an edge to the task that owns the buffer, then a TensorMap lookup for the directions that
read; writes are registered after all arguments (simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/
pto_dep_compute.h). A later OUTPUT_EXISTING writer is not ordered after an earlier one, and nothing is ordered
after a reader. Tasks in a MANUAL scope have explicit edges only.
"""

from __future__ import annotations

from ascend_model.workload import Edge
from pto_sim.lowering.directions import INOUT, INPUT, OUTPUT_EXISTING
from pto_sim.lowering.dtypes import itemsize_bytes
from pto_sim.lowering.tensor_map import Region, TensorMap
from pto_sim.program.model import Program, TaskArg, TensorInfo


class DependencyTracker:
    """Edges of the tasks of one run, asked for in submission order."""

    def __init__(self, program: Program) -> None:
        self.program = program
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
                _merge(edges, Edge(self.task_of[dependency], "explicit", wait=True, retain=True))
        if manual:
            return tuple(edges.values())
        tracked = [self._tracks(arg) for arg in recorded.args]
        for arg, direction, is_tracked in zip(recorded.args, directions, tracked, strict=True):
            if arg.tensor in self.owner:
                _merge(edges, Edge(self.owner[arg.tensor], "creator", wait=True, retain=True))
            if is_tracked and direction in (INPUT, INOUT):
                self._look_up(arg, direction, edges)
        if pipe_owner is not None:
            _merge(edges, Edge(pipe_owner, "creator", wait=True, retain=True))
        for arg, direction, is_tracked in zip(recorded.args, directions, tracked, strict=True):
            if is_tracked and direction in (INOUT, OUTPUT_EXISTING):
                self.map.register(arg.tensor, _region(arg, self.program.tensors[arg.tensor]), task)
        return tuple(edges.values())

    def _look_up(self, arg: TaskArg, direction: str, edges: dict[int, Edge]) -> None:
        info = self.program.tensors[arg.tensor]
        size = info.nbytes // itemsize_bytes(info.dtype)
        region = _region(arg, info)
        for producer in self.map.lookup(arg.tensor, region, size, retire_covered=direction == INOUT):
            _merge(edges, Edge(producer, "tensormap", wait=True))

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
