"""Heap that a layout of scopes keeps longer than its loop or its ring needs (PTO443, PTO444)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pto_sim.checks.catalogue import LOOP_KEEPS_HEAP, SCOPES_SHARE_RING
from pto_sim.checks.check import Check, site_text
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Event, Program
from pto_sim.program.task_graph import TaskGraph

_TENSOR_BYTES = 1024
"""What a tensor's size is rounded up to in a heap block."""
_LAST_RING_DEPTH = 3


class ScopeLayout(Check):
    """Follows the scopes and loops of the run, and who allocates in them."""

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
        return [*_kept_by_loops(self._program, self._graph), *_sharing_scopes(self._program, self._graph)]


class _Frame(NamedTuple):
    """A scope or a statement list that is open. kind: 'auto', 'manual', 'for', 'parallel', 'if'; '' for the root."""

    kind: str
    site: int


@dataclass
class _Kept:
    """What a loop has allocated in a scope that stays open. names: bytes by name."""

    iterations: int = 0
    nbytes: int = 0
    names: dict[str, int] = field(default_factory=dict)


def _kept_by_loops(program: Program, graph: TaskGraph) -> Iterator[Finding]:
    """Loops that allocate in each iteration and have no scope around an iteration."""
    pipes = {task.record: task.pipe_nbytes for task in graph.tasks if task.pipe_nbytes}
    stack = [_Frame("", -1)]
    entered: dict[int, int] = {}
    kept: dict[tuple[int, int], _Kept] = {}
    for event in program.events:
        if event.kind in ("scope_begin", "body_begin"):
            stack.append(_Frame(str(event.value), event.site))
            if event.kind == "body_begin":
                entered[event.site] = entered.get(event.site, 0) + 1
        elif event.kind in ("scope_end", "body_end"):
            stack.pop()
        elif (allocated := _allocated(program, pipes, event)) is not None:
            loop, owner = _loop_and_owner(stack)
            if loop is not None:
                name, nbytes = allocated
                found = kept.setdefault((loop.site, owner.site), _Kept())
                found.names[name] = found.names.get(name, 0) + nbytes
                found.nbytes += nbytes
    for (loop_site, owner_site), found in kept.items():
        if entered[loop_site] > 1:
            yield _loop_finding(program, loop_site, owner_site, entered[loop_site], found)


def _allocated(program: Program, pipes: dict[int, int], event: Event) -> tuple[str, int] | None:
    """Name and bytes of the buffer that an event makes the runtime allocate."""
    if event.kind == "alloc":
        assert isinstance(event.value, int)
        tensor = program.tensors[event.value]
        return tensor.name, -(-tensor.nbytes // _TENSOR_BYTES) * _TENSOR_BYTES
    if event.kind == "task" and event.value in pipes:
        assert isinstance(event.value, int)
        nbytes = -(-pipes[event.value] // _TENSOR_BYTES) * _TENSOR_BYTES
        return f"the pipe buffer of {program.tasks[event.value].name}", nbytes
    return None


def _loop_and_owner(stack: list[_Frame]) -> tuple[_Frame | None, _Frame]:
    """The innermost loop that an allocation repeats in before its scope closes, and that scope."""
    loop: _Frame | None = None
    for frame in reversed(stack):
        if frame.kind in ("auto", ""):
            return loop, frame
        if frame.kind in ("for", "parallel") and loop is None:
            loop = frame
    return loop, stack[0]


def _loop_finding(program: Program, loop: int, owner: int, iterations: int, found: _Kept) -> Finding:
    largest = sorted(found.names, key=lambda name: (-found.names[name], name))
    names = ", ".join(largest[:3]) + (f" and {len(largest) - 3} more" if len(largest) > 3 else "")
    until = f"until the scope at {site_text(program, owner)} closes" if owner >= 0 else "until the program ends"
    message = f"{iterations} iterations allocate {found.nbytes:,} bytes ({names}), and nothing is freed {until}"
    other = site_text(program, owner) if owner >= 0 else ""
    return LOOP_KEEPS_HEAP.at(site_text(program, loop), message, other=other)


def _sharing_scopes(program: Program, graph: TaskGraph) -> Iterator[Finding]:
    """Scopes so deep that they share the last ring with one around them that holds tasks there."""
    first_task: dict[int, int] = {}
    for number, task in enumerate(graph.tasks):
        first_task.setdefault(task.scope, number)
    path: list[int] = []
    found: dict[tuple[int, int], list[int]] = {}
    for number, scope in enumerate(graph.scopes):
        del path[scope.depth :]
        path.append(number)
        if scope.depth <= _LAST_RING_DEPTH or number not in first_task:
            continue
        outers = path[_LAST_RING_DEPTH:-1]
        around = [outer for outer in outers if first_task.get(outer, scope.closed_at) < first_task[number]]
        if around:
            found.setdefault((scope.site, graph.scopes[around[0]].site), []).append(number)
    for (site, outer), scopes in found.items():
        yield _sharing_finding(program, graph, site, outer, scopes)


def _sharing_finding(program: Program, graph: TaskGraph, site: int, outer: int, scopes: list[int]) -> Finding:
    inside = set(scopes)
    tasks = [task for task in graph.tasks if task.scope in inside]
    nbytes = sum(program.tensors[tensor].nbytes for task in tasks for tensor in task.tensors)
    message = (
        f"{len(scopes)} scope{'s' if len(scopes) > 1 else ''} at depth {graph.scopes[scopes[0]].depth}, with "
        f"{len(tasks)} tasks and {nbytes:,} bytes, share ring {_LAST_RING_DEPTH} with the scope around them: what they "
        "free cannot be used again while a task of that scope is older"
    )
    other = site_text(program, outer) if outer >= 0 else ""
    return SCOPES_SHARE_RING.at(site_text(program, site) if site >= 0 else other, message, other=other)
