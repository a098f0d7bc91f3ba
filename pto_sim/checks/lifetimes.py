"""Tensors whose heap block some legal schedule gives to another task under a reader (PTO434).

A block is reclaimed when its allocation and everything older in its ring has retired. A task keeps a block by a pin
(the creator edge that the runtime makes for each tensor argument, or an explicit dep) on the allocation or on an older
task of the same ring. In a manual scope there are no creator edges, so nothing keeps the block of a tensor whose scope
has closed while the task still runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from pto_sim.checks.catalogue import RECYCLED_UNDER_TASK
from pto_sim.checks.check import Check, site_text
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Program
from pto_sim.program.task_graph import TaskGraph


class RecycledBlocks(Check):
    """Looks at each task that uses a tensor of a batch that it does not pin."""

    def __init__(self) -> None:
        self._program: Program | None = None
        self._graph: TaskGraph | None = None

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        self._program = end.program

    def on_graph(self, graph: TaskGraph) -> None:
        """See `Check`."""
        self._graph = graph

    def findings(self) -> list[Finding]:
        """See `Check`."""
        if self._program is None or self._graph is None:
            return []
        found: dict[tuple[int, int], Finding] = {}
        for task, batch, tensor, taker in _unpinned(self._program, self._graph):
            record = self._program.tasks[self._graph.tasks[task].record]
            key = record.site, self._program.tensors[tensor].site
            found.setdefault(key, _finding(self._program, self._graph, task, batch, tensor, taker))
        return list(found.values())


def _unpinned(program: Program, graph: TaskGraph) -> Iterator[tuple[int, int, int, int]]:
    """(task, batch, tensor, later allocation of the ring) where the batch's block may be reused under the task."""
    owner = {tensor: number for number, task in enumerate(graph.tasks) for tensor in task.tensors}
    takers: dict[int, list[int]] = {}
    for number, task in enumerate(graph.tasks):
        if task.kind == "ALLOC":
            takers.setdefault(task.ring, []).append(number)
    for number, task in enumerate(graph.tasks):
        if task.record < 0:
            continue
        for tensor in dict.fromkeys(arg.tensor for arg in program.tasks[task.record].args):
            batch = owner.get(tensor)
            if batch is None or _kept(graph, number, batch):
                continue
            later = takers[graph.tasks[batch].ring]
            place = bisect_left(later, max(graph.scopes[graph.tasks[batch].scope].closed_at, number + 1))
            if place < len(later):
                yield number, batch, tensor, later[place]


def _kept(graph: TaskGraph, task: int, batch: int) -> bool:
    """A pin on the batch or on an older task of its ring holds the ring's tail."""
    ring = graph.tasks[batch].ring
    return any(pin <= batch and graph.tasks[pin].ring == ring for pin in graph.tasks[task].pins)


def _finding(program: Program, graph: TaskGraph, task: int, batch: int, tensor: int, taker: int) -> Finding:
    record, info = program.tasks[graph.tasks[task].record], program.tensors[tensor]
    scope = graph.scopes[graph.tasks[batch].scope]
    closes = f"the scope at {site_text(program, scope.site)}" if scope.site >= 0 else "its scope"
    taken = program.tensors[graph.tasks[taker].tensors[0]] if graph.tasks[taker].tensors else None
    by = f" by {taken.name} at {site_text(program, taken.site)}" if taken is not None else ""
    message = (
        f"task {record.name!r} uses {info.name}, and nothing keeps its block once {closes} has closed: "
        f"the block can be taken{by} while the task runs"
    )
    other = site_text(program, scope.site) if scope.site >= 0 else ""
    return RECYCLED_UNDER_TASK.at(
        site_text(program, record.site), message, other=other, allocation=site_text(program, info.site)
    )
