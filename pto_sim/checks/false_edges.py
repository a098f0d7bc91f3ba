"""Edges of the TensorMap between tasks that share no element, and edges that a view brings back.

PTO440: the argument is larger than what the task touches, so that writers of separate parts wait for each other.
PTO441: the runtime cannot compare the two views and takes them for overlapping. PTO442: a view of a tensor that was
created with manual_dep=True is tracked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pto_sim.checks.catalogue import FALSE_OVERLAP, MANUAL_DEP_VIEW, WRITERS_CHAINED, FindingKind
from pto_sim.checks.chains import Pair, longest_chain_us
from pto_sim.checks.check import Check, site_text
from pto_sim.checks.touches import Touch, common_element, runs_of, touches_of
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program, TaskArg
from pto_sim.program.task_graph import GraphBox, GraphEdge, TaskGraph


class _Group(NamedTuple):
    """Edges that are one finding: the same kind, lines and tensor."""

    kind: FindingKind
    reader: int
    writer: int
    name: str


class FalseEdges(Check):
    """Holds every TensorMap edge of the run against what its two tasks touched."""

    def __init__(self) -> None:
        self._program: Program | None = None
        self._graph: TaskGraph | None = None
        self._durations_us: Sequence[float] | None = None

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        self._program = end.program

    def on_graph(self, graph: TaskGraph) -> None:
        """See `Check`."""
        self._graph = graph

    def on_times(self, durations_us: Sequence[float]) -> None:
        """See `Check`."""
        self._durations_us = durations_us

    def findings(self) -> list[Finding]:
        """See `Check`."""
        if self._program is None or self._graph is None:
            return []
        judge = _Judge(self._program, self._graph)
        groups: dict[_Group, list[GraphEdge]] = defaultdict(list)
        for kind, edge in judge.surprises():
            groups[judge.group(kind, edge)].append(edge)
        return [self._finding(judge, group, edges) for group, edges in groups.items()]

    def _finding(self, judge: _Judge, group: _Group, edges: Sequence[GraphEdge]) -> Finding:
        program, first = judge.program, edges[0]
        argument, box = judge.argument(first), first.written
        assert box is not None
        tensor = program.tensors[argument.tensor]
        tasks = f"task {judge.name(first.consumer)!r} waits for {judge.name(first.producer)!r}"
        pairs = {(edge.producer, edge.consumer) for edge in edges}
        if group.kind is MANUAL_DEP_VIEW:
            message = f"{tasks} because of its view of {tensor.name}, although that tensor has manual_dep=True"
        elif group.kind is FALSE_OVERLAP:
            message = (
                f"{tasks} because of {tensor.name}, of which they share nothing: a view of {list(argument.shape)} with "
                f"strides {list(argument.strides)} cannot be held against {list(box.shape)} with {list(box.strides)}"
            )
        else:
            message = f"{tasks} because of {tensor.name}{list(argument.shape)}, of which they touch separate parts"
        message += f" ({len(pairs)} edge{'s' if len(pairs) > 1 else ''}"
        if self._durations_us is not None and group.kind is not MANUAL_DEP_VIEW:
            message += self._cost(judge, pairs, argument.tensor)
        return group.kind.at(
            site_text(program, group.reader),
            message + ")",
            other=site_text(program, group.writer),
            allocation=site_text(program, tensor.site),
        )

    def _cost(self, judge: _Judge, pairs: set[Pair], tensor: int) -> str:
        """The longest chain of waits with these edges and without them."""
        assert self._durations_us is not None
        tasks, durations = judge.graph.tasks, self._durations_us
        with_us = longest_chain_us(tasks, durations)
        instead = judge.real_producers({consumer for _, consumer in pairs}, tensor)
        without_us = longest_chain_us(tasks, durations, pairs, instead)
        return f"; the longest chain of waits takes {with_us:.2f} us, {without_us:.2f} us without them"


class _Judge:
    """What the tasks of a run touched, and which of its edges order nothing."""

    def __init__(self, program: Program, graph: TaskGraph) -> None:
        self.program, self.graph = program, graph
        self._touches: dict[int, dict[int, Touch]] = {}

    def name(self, task: int) -> str:
        """Name of a task of the graph."""
        return self.program.tasks[self.graph.tasks[task].record].name

    def argument(self, edge: GraphEdge) -> TaskArg:
        """The consumer's argument that made the edge."""
        return self.program.tasks[self.graph.tasks[edge.consumer].record].args[edge.argument]

    def touch(self, task: int, tensor: int) -> Touch | None:
        """What a task touched of a tensor."""
        if task not in self._touches:
            self._touches[task] = touches_of(self.program.tasks[self.graph.tasks[task].record], task)
        return self._touches[task].get(tensor)

    def group(self, kind: FindingKind, edge: GraphEdge) -> _Group:
        """The finding that an edge belongs to: the lines where the two tasks touch the tensor."""
        tensor = self.argument(edge).tensor
        reader, writer = self._line(edge.consumer, tensor), self._line(edge.producer, tensor)
        return _Group(kind, reader, writer, self.program.tensors[tensor].name)

    def _line(self, task: int, tensor: int) -> int:
        touch = self.touch(task, tensor)
        accesses = [] if touch is None else [*touch.writes, *touch.reads]
        return accesses[0].site if accesses else self.program.tasks[self.graph.tasks[task].record].site

    def surprises(self) -> Iterator[tuple[FindingKind, GraphEdge]]:
        """The edges that the author would not expect, pairs that have another edge for a reason left out."""
        ways: dict[Pair, list[GraphEdge]] = defaultdict(list)
        for edge in self.graph.edges:
            ways[edge.producer, edge.consumer].append(edge)
        for edges in ways.values():
            if any(edge.source != "tensormap" for edge in edges):
                continue
            false = [edge for edge in edges if not self._share(edge)]
            for edge in edges:
                if self.program.tensors[self.argument(edge).tensor].manual_dep:
                    yield MANUAL_DEP_VIEW, edge
            if len(false) == len(edges):
                yield from ((kind, edge) for edge in false if (kind := self._reason(edge)) is not None)

    def _share(self, edge: GraphEdge) -> bool:
        """Whether the consumer touches an element that the producer wrote."""
        tensor = self.argument(edge).tensor
        theirs, ours = self.touch(edge.producer, tensor), self.touch(edge.consumer, tensor)
        return theirs is not None and ours is not None and _conflict(theirs, ours)

    def _reason(self, edge: GraphEdge) -> FindingKind | None:
        argument, written = self.argument(edge), edge.written
        assert written is not None
        box = GraphBox(argument.offset, argument.shape, argument.strides)
        if common_element(runs_of([_as_access(box)]), runs_of([_as_access(written)])) is None:
            return FALSE_OVERLAP
        return WRITERS_CHAINED if edge.direction == "INOUT" else None

    def real_producers(self, consumers: Iterable[int], tensor: int) -> dict[int, list[int]]:
        """For each of some tasks, the earlier ones whose elements of a tensor it touches, whatever edges there are."""
        wanted = set(consumers)
        writers: list[Touch] = []
        low, high = np.zeros(len(self.graph.tasks), np.int64), np.zeros(len(self.graph.tasks), np.int64)
        result: dict[int, list[int]] = {}
        for number, task in enumerate(self.graph.tasks):
            touch = self.touch(number, tensor) if task.record >= 0 else None
            if touch is None:
                continue
            if number in wanted:
                count = len(writers)
                near = np.flatnonzero((low[:count] < touch.high) & (high[:count] > touch.low)).tolist()
                result[number] = [writers[i].task for i in near if _conflict(writers[i], touch)]
            if touch.writes:
                low[len(writers)], high[len(writers)] = touch.write_low, touch.write_high
                writers.append(touch)
        return result


def _conflict(first: Touch, second: Touch) -> bool:
    """Whether the second task touches an element that the first one wrote."""
    if not first.writes or first.write_low >= second.high or second.low >= first.write_high:
        return False
    written = first.runs(True)
    return any(common_element(written, second.runs(writes)) is not None for writes in (True, False))


def _as_access(box: GraphBox) -> Access:
    where, blocks = np.array([box.offset], np.int64), np.zeros(1, np.int32)
    return Access(0, True, 0, blocks, where, box.shape, box.strides)
