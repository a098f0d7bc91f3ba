"""The tasks of a run as the runtime sees them: what each waits for, what it keeps alive, in which scope it lives.

Lowering makes it, checks read it. No time is in it: whatever it does not order may happen in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from pto_sim.program.core_order import CoreOrder


class GraphBox(NamedTuple):
    """A view of a tensor as the runtime's TensorMap keeps it: elements of the tensor's storage."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class GraphEdge(NamedTuple):
    """Why a task waits for an earlier one: one for each way in which it found that one.

    source: 'creator', 'tensormap' or 'explicit'. argument: position among the arguments of the consumer's record, -1
    for an explicit edge and for the pipe buffer. direction: of that argument, as the runtime names it. written: what
    the producer had registered, for 'tensormap'.
    """

    consumer: int
    producer: int
    source: str
    argument: int = -1
    direction: str = ""
    written: GraphBox | None = None


@dataclass(frozen=True)
class GraphTask:
    """One submitted task; ids are positions in `TaskGraph.tasks`, in order of submission.

    record: index into `Program.tasks`, -1 for an allocation batch. kind: 'AIC', 'AIV', 'MIX', 'ALLOC' or 'DUMMY'.
    waits: tasks that must have completed before it starts. pins: tasks whose slot and heap block stay until it has
    completed. ring, scope: where its slot and block are; scope is a position in `TaskGraph.scopes`. manual: it was
    launched in a MANUAL scope. tensors: the tensors that an allocation batch owns. pipe_nbytes: what a launch's pipe
    buffer takes of the heap, unrounded.
    """

    record: int
    kind: str
    waits: tuple[int, ...]
    pins: tuple[int, ...]
    ring: int
    scope: int
    manual: bool = False
    tensors: tuple[int, ...] = ()
    pipe_nbytes: int = 0


class GraphAwait(NamedTuple):
    """The orchestrator itself waits: once `submitted` tasks are submitted, and before the next, `tasks` complete."""

    submitted: int
    tasks: tuple[int, ...]


@dataclass(frozen=True)
class GraphScope:
    """A scope instance. site: index into `Program.sites`, -1: the root. closed_at: tasks submitted when it closed."""

    site: int
    mode: str
    depth: int
    closed_at: int


@dataclass(frozen=True)
class TaskGraph:
    """Tasks and scopes of one run, in the order in which the orchestrator met them, and why each edge exists.

    cores: for each mixed task, by its record, and each stream of its blocks, what its cores do and wait for.
    """

    tasks: tuple[GraphTask, ...]
    scopes: tuple[GraphScope, ...]
    edges: tuple[GraphEdge, ...] = ()
    awaits: tuple[GraphAwait, ...] = ()
    cores: Mapping[int, Mapping[int, CoreOrder]] = field(default_factory=lambda: MappingProxyType({}))
