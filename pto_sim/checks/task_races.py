"""Tasks that touch the same elements, one of them writing, with nothing that orders them (PTO430 to PTO432).

Happens-before is the task graph: the edges that the runtime makes (creator, TensorMap, explicit deps), and what the
orchestrator itself waited for before it submitted a task. A task that is submitted later may run earlier unless these
say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pto_sim.checks.catalogue import (
    RACE_OF_EQUAL_BITS,
    RACE_READ_AFTER_WRITE,
    RACE_WRITE_AFTER_READ,
    RACE_WRITE_AFTER_WRITE,
    FindingKind,
)
from pto_sim.checks.check import Check, site_text
from pto_sim.checks.ordering import Ordering
from pto_sim.checks.touches import Touch, common_element, touches_of
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program
from pto_sim.program.task_graph import TaskGraph


class _Live:
    """Touches of one tensor that a later task could still meet, with their ranges as arrays for one comparison."""

    def __init__(self) -> None:
        self.touches: list[Touch] = []
        self._low = np.zeros(8, np.int64)
        self._high = np.zeros(8, np.int64)

    def meeting(self, low: int, high: int) -> list[Touch]:
        """Those whose range meets [low, high)."""
        count = len(self.touches)
        return [self.touches[i] for i in np.flatnonzero((self._low[:count] < high) & (self._high[:count] > low))]

    def add(self, touch: Touch) -> None:
        """Keep one more."""
        count = len(self.touches)
        if count == len(self._low):
            self._low, self._high = np.resize(self._low, 2 * count), np.resize(self._high, 2 * count)
        self._low[count], self._high[count] = touch.low, touch.high
        self.touches.append(touch)

    def drop(self, gone: set[int]) -> None:
        """Forget the touches of these tasks."""
        kept = [touch for touch in self.touches if touch.task not in gone]
        self.touches = []
        for touch in kept:
            self.add(touch)


class TaskRaces(Check):
    """Compares each task with the earlier ones that touch the same tensor.

    A touch is forgotten once a later write covers its range and is ordered after it: whatever races with it then
    races with that write too.
    """

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
        program, graph = self._program, self._graph
        if program is None or graph is None:
            return []
        groups: dict[tuple[str, int, int, int], list[Finding]] = {}
        for kind, first, second, element in _races(program, graph):
            key = kind.code, first.site, second.site, program.tensors[first.tensor].site
            groups.setdefault(key, []).append(_finding(program, kind, first, second, element))
        return [_counted(found) for found in groups.values()]


def _races(program: Program, graph: TaskGraph) -> Iterator[tuple[FindingKind, Access, Access, int]]:
    """(kind, earlier access, later access, element) of every unordered pair of tasks, by submission."""
    ordering = Ordering(graph)
    live: dict[int, _Live] = {}
    written = _written(program)
    for number, task in enumerate(graph.tasks):
        if task.record < 0:
            continue
        for tensor, touch in touches_of(program.tasks[task.record], number).items():
            if tensor not in written:
                continue
            known = live.setdefault(tensor, _Live())
            gone = set()
            fills = touch.fills_its_range()
            for earlier in known.meeting(touch.low, touch.high):
                if ordering.ordered(earlier.task, number):
                    if fills and touch.low <= earlier.low and earlier.high <= touch.high:
                        gone.add(earlier.task)
                    continue
                yield from _conflicts(earlier, touch)
            if gone:
                known.drop(gone)
            known.add(touch)


def _written(program: Program) -> set[int]:
    return {access.tensor for record in program.tasks for access in record.accesses if access.write}


def _conflicts(first: Touch, second: Touch) -> Iterator[tuple[FindingKind, Access, Access, int]]:
    """A common element of each kind of conflict.

    Two atomic additions do not conflict. A write that changes no bit is a finding of its own kind.
    """
    for kind, ours, theirs, decides in (
        (RACE_READ_AFTER_WRITE, True, False, first),
        (RACE_WRITE_AFTER_READ, False, True, second),
        (RACE_WRITE_AFTER_WRITE, True, True, second),
    ):
        found = _meeting(first, second, ours, theirs, loud=decides)
        if found is not None:
            yield kind, *found
            continue
        found = _meeting(first, second, ours, theirs, loud=None)
        if found is not None:
            yield RACE_OF_EQUAL_BITS, *found


def _meeting(
    first: Touch, second: Touch, ours: bool, theirs: bool, loud: Touch | None
) -> tuple[Access, Access, int] | None:
    """ours, theirs: writes, or reads. loud: of which of the two only writes that changed bits count."""
    for atomic in (False, True):
        mine = first.runs(ours, loud=loud is first, atomic=atomic)
        others = second.runs(theirs, loud=loud is second, atomic=False if atomic else None)
        found = common_element(mine, others)
        if found is not None:
            return found
    return None


def _finding(program: Program, kind: FindingKind, first: Access, second: Access, element: int) -> Finding:
    tensor = program.tensors[first.tensor]
    place = [int(i) for i in np.unravel_index(element, tensor.shape)] if tensor.shape else []
    verbs = ["writes" if access.write else "reads" for access in (second, first)]
    message = (
        f"{verbs[0]} {tensor.name}{place}; the earlier task at {site_text(program, first.site)} {verbs[1]} it too, "
        "and no edge orders the two tasks"
    )
    return kind.at(
        site_text(program, second.site),
        message,
        other=site_text(program, first.site),
        allocation=site_text(program, tensor.site),
    )


def _counted(found: list[Finding]) -> Finding:
    first = found[0]
    if len(found) == 1:
        return first
    return Finding(**{**first.__dict__, "message": f"{first.message} ({len(found)} pairs of tasks)"})
