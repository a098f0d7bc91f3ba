"""Predicates that the scheduler may decide on an old or a later value of their operand (PTO436).

A predicate is no argument of its task, so the runtime makes no edge for it: only deps=, or an edge that the task has
for another reason, orders it with the tasks that write what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pto_sim.checks.catalogue import STALE_PREDICATE
from pto_sim.checks.check import Check, site_text
from pto_sim.checks.ordering import Ordering
from pto_sim.checks.touches import Touch, common_element, runs_of, touches_of
from pto_sim.program.events import OrchestrationAccess, RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program
from pto_sim.program.task_graph import TaskGraph


class StalePredicates(Check):
    """Looks for tasks that write the operand of a predicate and are not ordered with its task."""

    def __init__(self) -> None:
        self._end: RunEnd | None = None
        self._graph: TaskGraph | None = None

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        self._end = end

    def on_graph(self, graph: TaskGraph) -> None:
        """See `Check`."""
        self._graph = graph

    def findings(self) -> list[Finding]:
        """See `Check`."""
        if self._end is None or self._graph is None:
            return []
        operands = [touched for touched in self._end.orchestration if touched.predicate]
        if not operands:
            return []
        program = self._end.program
        found: dict[tuple[int, int], Finding] = {}
        for meeting in _unordered(program, self._graph, operands):
            found.setdefault((meeting.operand.access.site, meeting.write.site), _finding(program, meeting))
        return list(found.values())


class _Meeting(NamedTuple):
    """A predicate's operand, a write of it, the element, and whether the writer was launched before the task."""

    operand: OrchestrationAccess
    write: Access
    element: int
    earlier: bool


def _unordered(program: Program, graph: TaskGraph, operands: list[OrchestrationAccess]) -> Iterator[_Meeting]:
    ordering = Ordering(graph)
    number_of = {task.record: number for number, task in enumerate(graph.tasks) if task.record >= 0}
    tensors = {touched.access.tensor for touched in operands}
    writers: list[tuple[int, dict[int, Touch]]] = []
    for number, task in enumerate(graph.tasks):
        if task.record >= 0:
            touches = touches_of(program.tasks[task.record], number)
            writers.append((number, {tensor: t for tensor, t in touches.items() if tensor in tensors and t.writes}))
    for touched in operands:
        guarded, read = number_of[touched.before], runs_of([touched.access])
        for number, touches in writers:
            touch = touches.get(touched.access.tensor)
            if touch is None or number == guarded or ordering.ordered(*sorted((number, guarded))):
                continue
            common = common_element(touch.runs(True), read)
            if common is not None:
                yield _Meeting(touched, common[0], common[2], number < guarded)


def _finding(program: Program, meeting: _Meeting) -> Finding:
    tensor, task = program.tensors[meeting.write.tensor], program.tasks[meeting.operand.before]
    place = [int(i) for i in np.unravel_index(meeting.element, tensor.shape)] if tensor.shape else []
    when, value = ("earlier", "old") if meeting.earlier else ("later", "new")
    writer = site_text(program, meeting.write.site)
    message = (
        f"the predicate of task {task.name!r} reads {tensor.name}{place}, which the {when} task at "
        f"{writer} writes, and no edge orders the two: it may decide on the {value} value"
    )
    return STALE_PREDICATE.at(
        site_text(program, meeting.operand.access.site),
        message,
        other=writer,
        allocation=site_text(program, tensor.site),
    )
