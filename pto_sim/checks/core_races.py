"""Cores of one block that touch the same elements, one of them writing, with nothing that orders them (PTO438).

The cube core and the two vector cores of a block run at the same time. What orders them is a tile that crosses, an
event between cores or a barrier; lowering says for each access which cores make it and what they have waited for.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from pto_sim.checks.catalogue import RACE_BETWEEN_CORES, RACE_OF_EQUAL_BITS
from pto_sim.checks.check import Check, site_text
from pto_sim.checks.touches import Runs, block_ranges, common_element, is_quiet, runs_of
from pto_sim.program.core_order import CORE_NAMES, CUBE, FIRST_LANE, SECOND_LANE, CoreOrder, CoreUse
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program, TaskRecord
from pto_sim.program.task_graph import TaskGraph


class CoreRaces(Check):
    """Compares what the cores of each block of a mixed task touch of a tensor."""

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
        found: dict[tuple[int, int, bool], Finding] = {}
        for number, orders in graph.cores.items():
            for meeting in _meetings(program, program.tasks[number], orders):
                key = meeting.first.site, meeting.second.site, meeting.quiet
                if key not in found:
                    found[key] = _finding(program, meeting)
        return list(found.values())


class _Meeting(NamedTuple):
    """Two cores of a block at one element. quiet: the write changed no bit."""

    first: Access
    second: Access
    cores: tuple[int, int]
    block: int
    element: int
    quiet: bool


class _Part:
    """What one core does to a tensor in one segment: reads, or writes of one kind.

    size: elements of the tensor. number: counts its parts in the order of their first access.
    """

    def __init__(self, use: CoreUse, write: bool, atomic: bool, size: int, number: int) -> None:
        self.use, self.write, self.atomic, self.size, self.number = use, write, atomic, size, number
        self.accesses: list[Access] = []
        self._runs: dict[bool, Runs] = {}

    @functools.cached_property
    def ranges(self) -> dict[int, tuple[int, int]]:
        """First element and the one behind the last that each block touches."""
        return block_ranges(self.accesses)

    def moved(self, loud: bool = False) -> Iterator[Access]:
        """Its accesses, with the elements of block b moved by b * size. loud: without writes that changed no bit."""
        for access in self.accesses:
            if not (loud and self.write and is_quiet(access)):
                yield _moved(access, self.size)

    def runs(self, loud: bool) -> Runs:
        """The runs of `moved`."""
        if loud not in self._runs:
            self._runs[loud] = runs_of(self.moved(loud))
        return self._runs[loud]


def _meetings(program: Program, record: TaskRecord, orders: Mapping[int, CoreOrder]) -> Iterator[_Meeting]:
    for parts in _parts(program, record, orders).values():
        of_core = [[part for part in parts if part.use.core == core] for core in (CUBE, FIRST_LANE, SECOND_LANE)]
        for mine, others in combinations(of_core, 2):
            if not _overlap(mine, others):
                continue
            for first, second in product(mine, others):
                if _may_meet(first, second) and _near(first.ranges, second.ranges):
                    yield from _meeting(*sorted((first, second), key=lambda part: part.number))


def _overlap(mine: list[_Part], others: list[_Part]) -> bool:
    """Whether one of two cores writes what the other touches, ordered or not: most tasks end here."""
    if not _near(
        block_ranges(a for p in mine for a in p.accesses), block_ranges(a for p in others for a in p.accesses)
    ):
        return False
    return any(
        common_element(
            runs_of(access for part in writers if part.write for access in part.moved()),
            runs_of(access for part in users for access in part.moved()),
        )
        for writers, users in ((mine, others), (others, mine))
    )


def _parts(program: Program, record: TaskRecord, orders: Mapping[int, CoreOrder]) -> dict[int, list[_Part]]:
    """What the cores do to each tensor that at least two of them touch and one writes, in order of their accesses."""
    found: dict[int, dict[tuple[CoreUse, bool, bool], _Part]] = defaultdict(dict)
    for access in record.accesses:
        if 0 in access.shape or not len(access.offsets):
            continue
        for piece, uses in _by_stream(access, record, orders):
            for use in uses:
                own = _half(piece, use)
                if own is None:
                    continue
                segment = use._replace(half="none", tile=())
                key = segment, access.write, access.atomic
                parts = found[access.tensor]
                if key not in parts:
                    parts[key] = _Part(*key, math.prod(program.tensors[access.tensor].shape), len(parts))
                parts[key].accesses.append(own)
    return {
        tensor: list(parts.values())
        for tensor, parts in found.items()
        if len({part.use.core for part in parts.values()}) > 1 and any(part.write for part in parts.values())
    }


def _by_stream(
    access: Access, record: TaskRecord, orders: Mapping[int, CoreOrder]
) -> Iterator[tuple[Access, tuple[CoreUse, ...]]]:
    """The access, in pieces if its blocks have different streams, with the cores that make it."""
    blocks = access.blocks
    if isinstance(access.op, int):
        stream = int(record.block_streams[blocks[0]])
        uses = orders[stream].get(access.op, ())
        if uses and (len(orders) == 1 or (record.block_streams[blocks] == stream).all()):
            yield access, uses
            return
        if access.op < 0 or len(orders) == 1:
            return
    own = np.broadcast_to(access.op, len(blocks))
    kinds = np.stack([record.block_streams[blocks], own])
    for stream, op in np.unique(kinds, axis=1).T.tolist():
        uses = orders[stream].get(op, ())
        if uses:
            mine = (kinds[0] == stream) & (kinds[1] == op)
            offsets = np.broadcast_to(access.offsets, len(blocks))[mine]
            same = None if access.same is None else np.broadcast_to(access.same, len(blocks))[mine]
            yield replace(access, blocks=blocks[mine], offsets=offsets, same=same), uses


def _half(access: Access, use: CoreUse) -> Access | None:
    """What a lane touches of a box that both lanes share; None if that is nothing."""
    if use.half == "none":
        return access
    axis = _tile_axis(access.shape, use.tile, 0 if use.half == "up_down" else len(use.tile) - 1)
    extent, half = access.shape[axis], (use.tile[0 if use.half == "up_down" else -1] + 1) // 2
    start, stop = (half, extent) if use.core == SECOND_LANE else (0, min(half, extent))
    if stop <= start:
        return None
    shape = tuple(stop - start if a == axis else e for a, e in enumerate(access.shape))
    return replace(access, offsets=access.offsets + start * access.strides[axis], shape=shape)


def _tile_axis(box: tuple[int, ...], tile: tuple[int, ...], axis: int) -> int:
    """The axis of a GM box that is an axis of its tile: a tile lacks axes of extent 1 that the box has."""
    at = len(box) - 1
    for position in range(len(tile) - 1, -1, -1):
        while at > position and box[at] == 1 and tile[position] != 1:
            at -= 1
        if position == axis:
            return at
        at -= 1
    raise AssertionError("a tile has no more axes than its box")


def _moved(access: Access, size: int) -> Access:
    """The access with a range of elements of its own for each block."""
    count = max(len(access.blocks), len(access.offsets))
    offsets = np.broadcast_to(access.offsets, count) + np.broadcast_to(access.blocks, count).astype(np.int64) * size
    return replace(access, offsets=offsets)


def _may_meet(first: _Part, second: _Part) -> bool:
    a, b = first.use, second.use
    if a.core == b.core or not (first.write or second.write) or (first.atomic and second.atomic):
        return False
    alike = (a.shared or b.shared) and CUBE not in (a.core, b.core)
    return not alike and not a.ordered(b)


Ranges = Mapping[int, tuple[int, int]]
"""First element and the one behind the last, by block."""


def _near(first: Ranges, second: Ranges) -> bool:
    """Whether there is a block in which two ranges meet."""
    return any(
        low < second[block][1] and second[block][0] < high for block, (low, high) in first.items() if block in second
    )


def _meeting(first: _Part, second: _Part) -> Iterator[_Meeting]:
    """The first element at which two parts meet, if they do; among writes that changed bits first."""
    for loud in (True, False):
        # Of two writes the later one shows whether they wrote the same bits.
        found = common_element(first.runs(loud and not second.write), second.runs(loud))
        if found is not None:
            ours, theirs, place = found
            cores = first.use.core, second.use.core
            yield _Meeting(ours, theirs, cores, place // first.size, place % first.size, not loud)
            return


def _finding(program: Program, meeting: _Meeting) -> Finding:
    first, second = meeting.first, meeting.second
    tensor = program.tensors[first.tensor]
    place = [int(i) for i in np.unravel_index(meeting.element, tensor.shape)] if tensor.shape else []
    verbs = ["writes" if access.write else "reads" for access in (first, second)]
    names = [CORE_NAMES[core] for core in meeting.cores]
    message = (
        f"{names[1]} {verbs[1]} {tensor.name}{place}, {names[0]} {verbs[0]} it at {site_text(program, first.site)}, "
        f"both in block {meeting.block}, and nothing orders the two"
    )
    kind = RACE_OF_EQUAL_BITS if meeting.quiet else RACE_BETWEEN_CORES
    return kind.at(
        site_text(program, second.site),
        message,
        other=site_text(program, first.site),
        allocation=site_text(program, tensor.site),
    )
