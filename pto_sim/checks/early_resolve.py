"""allow_early_resolve=True where it changes nothing (PTO445)."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from pto_sim.checks.catalogue import EARLY_RESOLVE_WITHOUT_EFFECT
from pto_sim.checks.check import Check, site_text
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Program
from pto_sim.program.task_graph import GraphTask, TaskGraph


class _Effect(NamedTuple):
    """What the flag of one task does. reason: why nothing, '' if it may work. other: site of what is in the way."""

    reason: str
    other: int = -1


class EarlyResolve(Check):
    """Looks at every flagged task for a consumer that could be dispatched early.

    That needs all producers of the consumer to be flagged; allocations are. A line is reported if no task that it
    launched has an effect, but for the last tasks of a kernel: what waits for them may be in a kernel that calls it.
    """

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
        program, graph = self._end.program, self._graph
        effects: dict[int, list[_Effect]] = defaultdict(list)
        consumers: dict[int, list[int]] = defaultdict(list)
        for number, task in enumerate(graph.tasks):
            for producer in task.waits:
                consumers[producer].append(number)
        predicated = {touched.before for touched in self._end.orchestration if touched.predicate}
        for number, task in enumerate(graph.tasks):
            if task.record >= 0 and program.tasks[task.record].early_resolve:
                effect = _effect(program, graph, consumers[number], predicated)
                effects[program.tasks[task.record].site].append(effect)
        return [
            _finding(program, site, found[0])
            for site, found in effects.items()
            if all(effect.reason for effect in found)
        ]


def _effect(program: Program, graph: TaskGraph, consumers: list[int], predicated: set[int]) -> _Effect:
    blocked: list[_Effect] = []
    for number in consumers:
        consumer = graph.tasks[number]
        found = _in_the_way(program, graph, consumer, predicated)
        if not found.reason:
            return found
        blocked.append(found)
    return blocked[0] if blocked else _Effect("")


def _in_the_way(program: Program, graph: TaskGraph, consumer: GraphTask, predicated: set[int]) -> _Effect:
    """Why a consumer cannot be dispatched early."""
    record = program.tasks[consumer.record]
    if consumer.record in predicated:
        return _Effect(f"its consumer {record.name!r} has a predicate", record.site)
    if consumer.kind == "DUMMY":
        return _Effect(f"its consumer {record.name!r} runs on no core", record.site)
    for producer in (graph.tasks[number] for number in consumer.waits):
        if producer.record >= 0 and not program.tasks[producer.record].early_resolve:
            other = program.tasks[producer.record]
            return _Effect(
                f"its consumer {record.name!r} also waits for {other.name!r}, which is not flagged", other.site
            )
    return _Effect("")


def _finding(program: Program, site: int, effect: _Effect) -> Finding:
    other = site_text(program, effect.other) if effect.other >= 0 else ""
    where = f" (at {other})" if other else ""
    return EARLY_RESOLVE_WITHOUT_EFFECT.at(
        site_text(program, site), f"allow_early_resolve=True changes nothing: {effect.reason}{where}", other=other
    )
