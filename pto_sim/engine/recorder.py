"""Recording a run: sites, signatures, streams, tensors, tasks and events of the Program."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from pto_sim.engine.lanes import LaneSet
from pto_sim.program.events import OrchestrationAccess
from pto_sim.program.model import (
    Access,
    Event,
    OpSignature,
    Program,
    Site,
    Stream,
    TaskRecord,
    TensorInfo,
    TileOp,
)

RawAccess = tuple[
    int, bool, int, LaneSet, np.ndarray, tuple[int, ...], tuple[int, ...], bool, int, np.ndarray | None,
    tuple["BlockRecorder", int],
]  # fmt: skip
"""The fields of an Access, with the lanes for the blocks, and for the op who recorded it and its row there."""


class Recorder:
    """Collects a Program while a kernel runs. Equal sites, signatures and streams are stored once."""

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.signatures: list[OpSignature] = []
        self.streams: list[Stream] = []
        self.tensors: list[TensorInfo] = []
        self.tasks: list[TaskRecord] = []
        self.events: list[Event] = []
        self.orchestration: list[OrchestrationAccess] = []
        self.queries_core_count = False
        self._site_index: dict[Site, int] = {}
        self._signature_index: dict[OpSignature, int] = {}
        self._stream_index: dict[tuple[TileOp, ...], int] = {}

    def site(self, site: Site) -> int:
        """Index of a source site."""
        index = self._site_index.get(site)
        if index is None:
            index = self._site_index[site] = len(self.sites)
            self.sites.append(site)
        return index

    def signature(self, signature: OpSignature) -> int:
        """Index of an op signature."""
        index = self._signature_index.get(signature)
        if index is None:
            index = self._signature_index[signature] = len(self.signatures)
            self.signatures.append(signature)
        return index

    def stream(self, ops: tuple[TileOp, ...]) -> int:
        """Index of a stream."""
        index = self._stream_index.get(ops)
        if index is None:
            index = self._stream_index[ops] = len(self.streams)
            self.streams.append(Stream(ops))
        return index

    def event(self, kind: str, value: object, site: int) -> None:
        """Append an orchestrator event."""
        self.events.append(Event(kind, value, site))

    def orchestrated(self, access: Access) -> None:
        """The orchestration itself touched a tensor, behind the tasks so far."""
        self.orchestration.append(OrchestrationAccess(len(self.tasks), access))

    def position(self) -> tuple[int, int]:
        """Where the orchestration is: what it has touched, and its events, so far."""
        return len(self.orchestration), len(self.events)

    def predicated(self, since: tuple[int, int]) -> None:
        """What was read since a position are the operands of the next task's predicate: the orchestration waits for
        none of them."""
        touched, events = since
        self.orchestration[touched:] = [access._replace(predicate=True) for access in self.orchestration[touched:]]
        del self.events[events:]

    def allocated_before_task(self) -> None:
        """Move the allocation that was recorded last before the launch of the running task: orchestration makes it."""
        allocation = self.events.pop()
        launched = len(self.events) - 1
        while self.events[launched].kind != "task":
            launched -= 1
        self.events.insert(launched, allocation)

    def program(self, name: str, profile: str, variant: str) -> Program:
        """The finished Program."""
        return Program(
            name,
            profile,
            variant,
            self.sites,
            self.signatures,
            self.streams,
            self.tensors,
            self.tasks,
            self.events,
            self.queries_core_count,
        )


_ENDS = {"scope_begin": "scope_end", "body_begin": "body_end", "frame_begin": "frame_end"}


def cut_short(program: Program, tasks: int) -> Program:
    """The first `tasks` tasks of a Program whose run was stopped, with everything closed that was open then."""
    events: list[Event] = []
    open_events: list[Event] = []
    for event in program.events:
        if event.kind == "task" and isinstance(event.value, int) and event.value >= tasks:
            continue
        if event.kind in _ENDS:
            open_events.append(event)
        elif event.kind in _ENDS.values():
            # What was left without its end (a loop's body) is closed first.
            while open_events and _ENDS[open_events[-1].kind] != event.kind:
                events.append(_end_of(open_events.pop()))
            open_events.pop()
        events.append(event)
    events += [_end_of(event) for event in reversed(open_events)]
    return replace(program, tasks=program.tasks[:tasks], events=events)


def _end_of(event: Event) -> Event:
    return Event(_ENDS[event.kind], None, event.site)


class BlockRecorder:
    """The operations of one group of blocks while it runs.

    ops: recorded operations in order; lane_sets: the lanes on which each of them ran. first: where the ops of a core
    stand in the block's. accesses: in the order of execution, those of the block's cores among them.
    """

    __slots__ = ("accesses", "first", "lane_sets", "lanes", "numbers", "ops")

    def __init__(self, lanes: LaneSet, numbers: Iterator[int] | None = None) -> None:
        self.lanes = lanes
        self.numbers: Iterator[int] = itertools.count() if numbers is None else numbers
        self.ops: list[tuple[int, int, tuple[int, ...], int]] = []
        self.lane_sets: list[LaneSet] = []
        self.accesses: list[RawAccess] = []
        self.first = 0

    def of_core(self, lanes: LaneSet) -> BlockRecorder:
        """A recorder for one core of the block: its ops are its own until they are absorbed."""
        core = BlockRecorder(lanes, self.numbers)
        core.accesses = self.accesses
        return core

    def last(self) -> tuple[BlockRecorder, int]:
        """The operation that was recorded last."""
        return self, len(self.ops) - 1

    def value(self) -> int:
        """A new value number."""
        return next(self.numbers)

    def add(self, signature: int, out: int, ins: tuple[int, ...], gm: int, lanes: LaneSet) -> None:
        """Record one operation that ran on `lanes`."""
        self.ops.append((signature, out, ins, gm))
        self.lane_sets.append(lanes)

    def streams(self, intern: Callable[[tuple[TileOp, ...]], int]) -> np.ndarray:
        """Stream index of each lane, int32 [L]."""
        make = TileOp._make
        if self._together():
            index = intern(tuple(make(op) for op in self.ops))
            return np.full(len(self.lanes), index, np.int32)
        return self._divergent(intern)

    def _together(self) -> bool:
        """Whether every op ran on all lanes."""
        return all(lanes is self.lanes for lanes in self.lane_sets)

    def _active(self) -> np.ndarray:
        """Which op ran on which lane, bool [ops, L]."""
        active = np.zeros((len(self.ops), len(self.lanes)), bool)
        for row, lanes in enumerate(self.lane_sets):
            active[row, lanes.positions_in(self.lanes)] = True
        return active

    def _divergent(self, intern: Callable[[tuple[TileOp, ...]], int]) -> np.ndarray:
        active = self._active()
        patterns, which = np.unique(active, axis=1, return_inverse=True)
        indices = np.empty(patterns.shape[1], np.int32)
        for column in range(patterns.shape[1]):
            indices[column] = intern(_renumber([self.ops[row] for row in np.flatnonzero(patterns[:, column])]))
        return indices[which.reshape(-1)]

    def finished_accesses(self) -> list[Access]:
        """The GM accesses of the group as Program records, once; the recorder has none after that."""
        together = self._together()
        # A lane's stream holds only the ops that ran on it.
        places = None if together else self._active().cumsum(axis=0, dtype=np.int32) - 1
        result = []
        for raw in self.accesses:
            core, row = raw[-1]
            op: int | np.ndarray = core.first + row
            if places is not None:
                own = places[op, np.searchsorted(self.lanes.ids, raw[3].ids)]
                op = int(own[0]) if len(own) and (own == own[0]).all() else own
            result.append(accessed(raw, op))
        self.accesses.clear()  # each names its recorder: a circle that only the garbage collector would free
        return result


def accessed(raw: RawAccess, op: int | np.ndarray = -1) -> Access:
    """The Program record of an access. op: its position in the streams of its blocks."""
    tensor, write, site, lanes, offsets, shape, strides, atomic, phase, same, _ = raw
    return Access(tensor, write, site, lanes.ids, offsets, shape, strides, atomic, phase, same, op)


def _renumber(ops: list[tuple[int, int, tuple[int, ...], int]]) -> tuple[TileOp, ...]:
    """The operations with value numbers counted from 0 in order of first appearance.

    A block's stream must not depend on which other blocks ran in the same group.
    """
    numbers: dict[int, int] = {}
    result = []
    for signature, out, ins, gm in ops:
        new_ins = tuple(numbers.setdefault(value, len(numbers)) for value in ins)
        new_out = numbers.setdefault(out, len(numbers)) if out >= 0 else out
        result.append(TileOp(signature, new_out, new_ins, gm))
    return tuple(result)
