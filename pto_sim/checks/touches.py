"""What tasks touch of a tensor, as element ranges and, where ranges are too coarse, element by element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pto_sim.program.model import Access, TaskRecord

_CHUNK_ELEMENTS = 1 << 22


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


def common_element(
    first: Iterable[Access], second: Iterable[Access], low: int, high: int
) -> tuple[Access, Access, int] | None:
    """An access of each and the lowest element in [low, high) that both touch; None if there is none."""
    own = np.full(high - low, -1, np.int32)
    known = list(first)
    for number, access in enumerate(known):
        for _, touched, _ in elements(access):
            inside = touched[(touched >= low) & (touched < high)] - low
            own[inside] = number
    best: tuple[Access, Access, int] | None = None
    for access in second:
        for _, touched, _ in elements(access):
            inside = touched[(touched >= low) & (touched < high)] - low
            hits = inside[own[inside] >= 0]
            if len(hits) and (best is None or int(hits.min()) + low < best[2]):
                place = int(hits.min())
                best = known[own[place]], access, place + low
    return best
