"""The runtime's TensorMap: which earlier task wrote memory that an argument overlaps.

Overlap in elements as in simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/pto_tensormap.h
(check_overlap). Every version is 0 here, because generated code never changes it.
"""

from __future__ import annotations

from enum import Enum
from itertools import pairwise
from typing import NamedTuple


class Overlap(Enum):
    """Result of a lookup: COVERED means that the query contains the whole entry."""

    NONE = "none"
    COVERED = "covered"
    OTHER = "other"


class Region(NamedTuple):
    """A view of a buffer: start offset, shape and strides in elements, and its element type."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @property
    def extent(self) -> int:
        """Elements from the first to one past the last that the view can touch."""
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))


class Entry(NamedTuple):
    """A registered write: its region and producer (a Workload task id)."""

    region: Region
    end: int
    producer: int


def box_overlap(query: Region, entry: Region, buffer_elements: int) -> Overlap:
    """Overlap of two regions of one buffer whose ranges intersect, by per-dimension boxes.

    Everything that is not two boxes of the same row-major layout counts as an overlap (OTHER).
    """
    strides = query.strides
    if query.dtype != entry.dtype or not strides or strides != entry.strides or strides[-1] != 1:
        return Overlap.OTHER
    if any(outer % inner for outer, inner in pairwise(strides)) or buffer_elements % strides[0]:
        return Overlap.OTHER
    extents = [buffer_elements // strides[0]]
    extents += [outer // inner for outer, inner in pairwise(strides)]
    covered = True
    disjoint = False
    query_rest, entry_rest = query.offset, entry.offset
    for axis, stride in enumerate(strides):
        query_at, query_rest = divmod(query_rest, stride)
        entry_at, entry_rest = divmod(entry_rest, stride)
        query_end, entry_end = query_at + query.shape[axis], entry_at + entry.shape[axis]
        if query_end > extents[axis] or entry_end > extents[axis]:
            return Overlap.OTHER
        disjoint |= query_end <= entry_at or entry_end <= query_at
        covered &= query_at <= entry_at and entry_end <= query_end
    if disjoint:
        return Overlap.NONE
    return Overlap.COVERED if covered else Overlap.OTHER


class TensorMap:
    """Writes that are still visible, by buffer, oldest first. It never forgets retired producers.

    The runtime skips entries of retired tasks; edges to them are pre-satisfied, so keeping them changes no order.
    """

    def __init__(self) -> None:
        self._entries: dict[int, list[Entry]] = {}

    def lookup(self, buffer: int, query: Region, buffer_elements: int, *, retire_covered: bool) -> list[int]:
        """Producers of the entries that overlap the query. retire_covered: an INOUT removes what it contains."""
        entries = self._entries.get(buffer)
        if not entries:
            return []
        begin, end = query.offset, query.offset + query.extent
        producers: list[int] = []
        covered: list[int] = []
        for position, (region, entry_end, producer) in enumerate(entries):
            if region.offset >= end or entry_end <= begin:
                continue
            overlap = box_overlap(query, region, buffer_elements)
            if overlap is Overlap.NONE:
                continue
            producers.append(producer)
            if retire_covered and overlap is Overlap.COVERED:
                covered.append(position)
        for position in reversed(covered):
            del entries[position]
        return producers

    def register(self, buffer: int, region: Region, producer: int) -> None:
        """Record that `producer` writes `region`."""
        self._entries.setdefault(buffer, []).append(Entry(region, region.offset + region.extent, producer))
