"""The tasks of a run as the runtime sees them: what each waits for, what it keeps alive, in which scope it lives.

Lowering makes it, checks read it. No time is in it: whatever it does not order may happen in any order.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphTask:
    """One submitted task; ids are positions in `TaskGraph.tasks`, in order of submission.

    record: index into `Program.tasks`, -1 for an allocation batch. kind: 'AIC', 'AIV', 'MIX', 'ALLOC' or 'DUMMY'.
    waits: tasks that must have completed before it starts. pins: tasks whose slot and heap block stay until it has
    completed. ring, scope: where its slot and block are; scope is a position in `TaskGraph.scopes`. manual: it was
    launched in a MANUAL scope. tensors: the tensors that an allocation batch owns.
    """

    record: int
    kind: str
    waits: tuple[int, ...]
    pins: tuple[int, ...]
    ring: int
    scope: int
    manual: bool = False
    tensors: tuple[int, ...] = ()


@dataclass(frozen=True)
class GraphScope:
    """A scope instance. site: index into `Program.sites`, -1: the root. closed_at: tasks submitted when it closed."""

    site: int
    mode: str
    depth: int
    closed_at: int


@dataclass(frozen=True)
class TaskGraph:
    """Tasks and scopes of one run, in the order in which the orchestrator met them."""

    tasks: tuple[GraphTask, ...]
    scopes: tuple[GraphScope, ...]
