"""What tasks touch of a tensor, as element ranges and, where ranges are too coarse, element by element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pto_sim.program.model import Access, TaskRecord

_CHUNK_ELEMENTS = 1 << 20


@dataclass
class Touch:
    """All accesses of one task to one tensor.

    reads, writes: accesses of each kind. low, high: the elements of the tensor's storage between which all of them
    lie; write_low, write_high: those of the writes (empty: write_low >= write_high).
    """

    task: int
    reads: list[Access] = field(default_factory=list)
    writes: list[Access] = field(default_factory=list)
    low: int = 1 << 62
    high: int = -1
    write_low: int = 1 << 62
    write_high: int = -1
    _runs: dict[tuple[bool, bool, bool | None], Runs] = field(default_factory=dict)

    def runs(self, writes: bool, *, loud: bool = False, atomic: bool | None = None) -> Runs:
        """The runs of the reads or writes, made once. loud: writes that changed bits; atomic: only those, or others."""
        key = writes, loud, atomic
        if key not in self._runs:
            self._runs[key] = runs_of(
                access
                for access in (self.writes if writes else self.reads)
                if not (loud and is_quiet(access)) and atomic in (None, access.atomic)
            )
        return self._runs[key]

    def add(self, access: Access) -> None:
        """Take one more access."""
        low, high = span(access)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if access.write:
            self.writes.append(access)
            self.write_low, self.write_high = min(self.write_low, low), max(self.write_high, high)
        else:
            self.reads.append(access)

    def fills_its_range(self) -> bool:
        """Whether one write covers every element between low and high."""
        return any(
            span(a) == (self.low, self.high) and int(np.prod(a.shape)) == self.high - self.low for a in self.writes
        )


def span(access: Access) -> tuple[int, int]:
    """First element and the one behind the last that the access touches, over all its blocks."""
    reach = sum((extent - 1) * stride for extent, stride in zip(access.shape, access.strides, strict=True))
    return int(access.offsets.min()), int(access.offsets.max()) + reach + 1


def block_ranges(accesses: Iterable[Access]) -> dict[int, tuple[int, int]]:
    """First element and the one behind the last that each block touches, by block."""
    found: dict[int, tuple[int, int]] = {}
    for access in accesses:
        reach = span(access)[1] - int(access.offsets.max())
        count = max(len(access.blocks), len(access.offsets))
        pairs = np.broadcast_to(access.blocks, count).tolist(), np.broadcast_to(access.offsets, count).tolist()
        for block, offset in zip(*pairs, strict=True):
            low, high = found.get(block, (offset, 0))
            found[block] = min(low, offset), max(high, offset + reach)
    return found


def is_quiet(access: Access) -> bool:
    """Whether a write left every bit as it was."""
    return access.same is not None and bool(access.same.all())


def touches_of(record: TaskRecord, task: int) -> dict[int, Touch]:
    """What a task touches, by tensor. Accesses without elements are left out."""
    found: dict[int, Touch] = {}
    for access in record.accesses:
        if 0 not in access.shape and len(access.offsets):
            found.setdefault(access.tensor, Touch(task)).add(access)
    return found


def elements(access: Access) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """An access in pieces: blocks int32 [L], element numbers int64 [L, n], and whether the block changed no bit [L]."""
    inner = np.zeros(1, np.int64)
    for extent, stride in zip(access.shape, access.strides, strict=True):
        inner = (inner[:, None] + np.arange(extent, dtype=np.int64) * stride).reshape(-1)
    blocks = np.broadcast_to(access.blocks, max(len(access.blocks), len(access.offsets)))
    offsets = np.broadcast_to(access.offsets, len(blocks))
    quiet = np.broadcast_to(False if access.same is None else access.same, len(blocks))
    step = max(1, _CHUNK_ELEMENTS // len(inner))
    for first in range(0, len(offsets), step):
        piece = slice(first, first + step)
        yield blocks[piece], offsets[piece, None] + inner, quiet[piece]


@dataclass(frozen=True)
class Runs:
    """Contiguous pieces of accesses, by start: elements [starts, ends) of the tensor, each of one of the accesses.

    owners: which access. reach: the largest end so far, so that one search says whether anything overlaps.
    """

    accesses: tuple[Access, ...]
    starts: np.ndarray
    ends: np.ndarray
    owners: np.ndarray
    reach: np.ndarray


def runs_of(accesses: Iterable[Access]) -> Runs:
    """The runs of some accesses; blocks that touch the same run count once."""
    known = tuple(accesses)
    pieces = [_starts(access) for access in known]
    if len(pieces) == 1 and len(pieces[0][0]) == 1:  # nothing to sort, as for most tasks of a large graph
        ((starts, run),) = pieces
        return Runs(known, starts, starts + run, np.zeros(1, np.int64), starts + run)
    starts = np.concatenate([piece for piece, _ in pieces]) if pieces else np.zeros(0, np.int64)
    lengths = np.concatenate([np.full(len(piece), run, np.int64) for piece, run in pieces]) if pieces else starts
    owners = np.repeat(np.arange(len(known)), [len(piece) for piece, _ in pieces])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], (starts + lengths)[order]
    return Runs(known, starts, ends, owners[order], np.maximum.accumulate(ends) if len(ends) else ends)


def _starts(access: Access) -> tuple[np.ndarray, int]:
    """Where the contiguous runs of an access start, and how long they are."""
    starts, run = np.unique(access.offsets) if len(access.offsets) > 1 else access.offsets, 1
    axes = sorted((stride, extent) for extent, stride in zip(access.shape, access.strides, strict=True) if extent != 1)
    for stride, extent in axes:
        if stride == run:
            run *= extent
        else:
            starts = (starts[:, None] + np.arange(extent, dtype=np.int64) * stride).reshape(-1)
    return starts, run


def common_element(first: Runs, second: Runs) -> tuple[Access, Access, int] | None:
    """An access of each and an element that both touch; None if there is none."""
    if not len(first.starts) or not len(second.starts):
        return None
    before = np.searchsorted(first.starts, second.ends, "left") - 1
    hits = np.flatnonzero((before >= 0) & (first.reach[before] > second.starts))
    if not len(hits):
        return None
    theirs = int(hits[0])
    ours = int(np.flatnonzero(first.ends[: before[theirs] + 1] > second.starts[theirs])[0])
    element = max(int(first.starts[ours]), int(second.starts[theirs]))
    return first.accesses[first.owners[ours]], second.accesses[second.owners[theirs]], element
