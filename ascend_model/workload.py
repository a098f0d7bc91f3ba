"""What the hardware model is asked to run: instruction streams, tasks and the orchestrator's events.

A `Workload` is independent of the chip variant. It is made once from a recorded program and
simulated under any number of chips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class InstructionStream:
    """One block's instructions in program order, as parallel arrays of length n.

    kind: int16, an `isa.Kind`. core: int8, an `isa.Core` (AIC, AIV0, AIV1) that issues it.
    args: int64 [n, isa.ARG_COUNT], meaning fixed by the kind (see `isa.Kind`), unused columns 0.
    dep_offsets: int32 [n + 1] and dep_indices: int32, a CSR list of the earlier instructions that
    must have completed before this one starts (data ready, or a buffer free again).
    site: int32, an index into `Workload.sites`.
    """

    kind: np.ndarray
    core: np.ndarray
    args: np.ndarray
    dep_offsets: np.ndarray
    dep_indices: np.ndarray
    site: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)


class Edge(NamedTuple):
    """A dependency of one task on an earlier one. `source` is 'creator', 'tensormap' or 'explicit'.

    wait: the consumer may not start before the producer completed.
    retain: the producer's slot and heap block stay until the consumer completed.
    """

    producer: int
    source: str
    wait: bool = True
    retain: bool = False


class Task(NamedTuple):
    """One submitted task. Ids are positions in `Workload.tasks`, in submission order.

    kind: 'AIC', 'AIV', 'MIX', 'ALLOC' or 'DUMMY'. block_streams: int32, the stream of each block
    (empty for ALLOC and DUMMY). output_nbytes: sizes of the buffers that the task allocates in its
    ring, before rounding (ALLOC tasks only). gm_unique_nbytes: distinct GM bytes that the whole
    task touches, (read, written). registered_outputs: tensors that it enters in the TensorMap (its INOUT and
    OUTPUT_EXISTING arguments, outside manual scopes). early_resolve: consumers may be staged on cores before it has
    ended. predicated: whether it runs is decided when it is ready, so it is never staged early.
    """

    id: int
    name: str
    kind: str
    block_streams: np.ndarray
    edges: tuple[Edge, ...] = ()
    output_names: tuple[str, ...] = ()
    output_nbytes: tuple[int, ...] = ()
    tensor_args: int = 0
    scalar_args: int = 0
    sync_start: bool = False
    early_resolve: bool = False
    gm_unique_nbytes: tuple[int, int] = (0, 0)
    site: int = 0
    registered_outputs: int = 0
    predicated: bool = False


class ScopeBegin(NamedTuple):
    """The orchestrator opens a scope. `mode` is 'auto' or 'manual'."""

    site: int
    mode: str = "auto"


@dataclass(frozen=True)
class ScopeEnd:
    """The orchestrator closes the innermost open scope."""


class Submit(NamedTuple):
    """The orchestrator submits task `task` (an index into `Workload.tasks`)."""

    task: int


class Await(NamedTuple):
    """The orchestrator reads or writes GM itself, once `tasks`, who wrote there, have completed.

    consumers: and once everyone who retains one of them has released it (a write).
    """

    tasks: tuple[int, ...]
    site: int
    consumers: bool = False


Event = ScopeBegin | ScopeEnd | Submit | Await


@dataclass(frozen=True)
class Workload:
    """Streams, tasks, events (in the order the orchestrator meets them) and the source sites.

    sites: 'file:line' texts. The root scope is implicit: events outside every ScopeBegin belong to it.
    """

    streams: tuple[InstructionStream, ...]
    tasks: tuple[Task, ...]
    events: tuple[Event, ...]
    sites: tuple[str, ...] = ("(unknown):0",)
    name: str = "workload"
    notes: tuple[str, ...] = field(default=())
