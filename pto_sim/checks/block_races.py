"""Blocks of one task that touch the same elements, one of them writing (PTO433).

The blocks of a `pl.spmd` run in any order and at the same time. Only a barrier over all of them orders what stands
before it with what stands behind it. Atomic additions do not conflict with each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pto_sim.checks.catalogue import RACE_BETWEEN_BLOCKS, RACE_OF_EQUAL_BITS
from pto_sim.checks.check import Check, site_text
from pto_sim.checks.touches import block_ranges, elements, span
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import Access, Program, TaskRecord

_NOBODY = -1


class BlockRaces(Check):
    """Marks who wrote which element of each tensor that a task writes, then looks who else touched it."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        seen: set[tuple[int, int, bool]] = set()
        for record in end.program.tasks:
            if record.blocks < 2:
                continue
            for meeting in _conflicts(record):
                key = meeting.first.site, meeting.second.site, meeting.quiet
                if key not in seen:
                    seen.add(key)
                    self._findings.append(_finding(end.program, meeting))

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return self._findings


class _Meeting(NamedTuple):
    """Two blocks of a task at one element. quiet: the write changed no bit."""

    first: Access
    second: Access
    blocks: tuple[int, int]
    element: int
    quiet: bool


def _conflicts(record: TaskRecord) -> Iterator[_Meeting]:
    groups: dict[tuple[int, int], list[Access]] = {}
    for access in record.accesses:
        if 0 not in access.shape and len(access.offsets):
            groups.setdefault((access.tensor, access.phase), []).append(access)
    for accesses in groups.values():
        if any(access.write for access in accesses) and not _apart(accesses):
            yield from _Owners(accesses).meetings()


def _apart(accesses: list[Access]) -> bool:
    """Whether the ranges of different blocks do not meet: most tasks give each block rows of its own."""
    ranges = sorted(block_ranges(accesses).values())
    return all(end <= start for (_, end), (start, _) in pairwise(ranges))


class _Owners:
    """Which block wrote each element of a tensor last, through which access, and whether that changed a bit."""

    def __init__(self, accesses: list[Access]) -> None:
        self.writes = [access for access in accesses if access.write]
        self.reads = [access for access in accesses if not access.write]
        self.low, self.high = min(span(a)[0] for a in self.writes), max(span(a)[1] for a in self.writes)
        last = max(len(self.writes), *(int(access.blocks.max(initial=0)) for access in accesses))
        number = np.int16 if last <= np.iinfo(np.int16).max else np.int32  # one for each element of a large tensor
        self.block = np.full(self.high - self.low, _NOBODY, number)
        self.access = np.full(self.high - self.low, _NOBODY, number)
        self.quiet = np.ones(self.high - self.low, np.bool_)

    def meetings(self) -> Iterator[_Meeting]:
        """The first element of each pair of accesses in which two blocks meet, writes first."""
        for number, access in enumerate(self.writes):
            for blocks, touched, quiet in elements(access):
                for block, row, same in zip(blocks.tolist(), touched - self.low, quiet.tolist(), strict=True):
                    yield from self._meet(row, block, access, same)
                    self.quiet[row] &= same
                    self.block[row], self.access[row] = block, number
        for access in self.reads:
            for blocks, touched, _ in elements(access):
                for block, row in zip(blocks.tolist(), touched - self.low, strict=True):
                    inside = row[(row >= 0) & (row < self.high - self.low)]
                    yield from self._meet(inside, block, access, None)

    def _meet(self, row: np.ndarray, block: int, access: Access, same: bool | None) -> Iterator[_Meeting]:
        """The elements of a row that another block wrote. same: whether this write changed no bit, None for a read."""
        others = self.block[row]
        for place in row[(others != block) & (others != _NOBODY)]:
            other = self.writes[self.access[place]]
            if not (other.atomic and access.atomic):
                quiet = bool(self.quiet[place]) if same is None else same
                yield _Meeting(other, access, (int(self.block[place]), block), int(place) + self.low, quiet)
                return


def _finding(program: Program, meeting: _Meeting) -> Finding:
    first, second = meeting.first, meeting.second
    tensor = program.tensors[first.tensor]
    place = [int(i) for i in np.unravel_index(meeting.element, tensor.shape)] if tensor.shape else []
    verb = "writes" if second.write else "reads"
    message = (
        f"block {meeting.blocks[1]} {verb} {tensor.name}{place}, block {meeting.blocks[0]} writes it at "
        f"{site_text(program, first.site)}, and nothing orders the blocks of a task"
    )
    kind = RACE_OF_EQUAL_BITS if meeting.quiet else RACE_BETWEEN_BLOCKS
    return kind.at(
        site_text(program, second.site),
        message,
        other=site_text(program, first.site),
        allocation=site_text(program, tensor.site),
    )
