"""The runtime's TensorMap: which earlier task wrote memory that an argument overlaps.

Overlap in elements as in simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/pto_tensormap.h
(check_overlap). Every version is 0 here, because generated code never changes it.
"""

from __future__ import annotations

from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import numpy as np


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


class Match(NamedTuple):
    """An earlier write that a lookup found: who made it, what it wrote, and how that overlaps the query."""

    producer: int
    region: Region
    overlap: Overlap


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


class _Writes:
    """Writes of one buffer, oldest first. Ranges are kept in arrays, so that a lookup is one vector comparison."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.producers: list[int] = []
        self._begin = np.zeros(8, np.int64)
        self._end = np.zeros(8, np.int64)

    def add(self, region: Region, producer: int) -> None:
        count = len(self.regions)
        if count == len(self._begin):
            self._begin, self._end = np.resize(self._begin, 2 * count), np.resize(self._end, 2 * count)
        self._begin[count], self._end[count] = region.offset, region.offset + region.extent
        self.regions.append(region)
        self.producers.append(producer)

    def meeting(self, begin: int, end: int) -> list[int]:
        """Positions of the writes whose range meets [begin, end)."""
        count = len(self.regions)
        return np.flatnonzero((self._begin[:count] < end) & (self._end[:count] > begin)).tolist()

    def retire(self, position: int) -> None:
        """Give a write a range that meets nothing."""
        self._end[position] = -1


class TensorMap:
    """Writes that are still visible, by buffer. It never forgets retired producers.

    The runtime skips entries of retired tasks; edges to them are pre-satisfied, so keeping them changes no order.
    """

    def __init__(self) -> None:
        self._writes: dict[int, _Writes] = {}

    def lookup(self, buffer: int, query: Region, buffer_elements: int, *, retire_covered: bool) -> list[Match]:
        """The writes that overlap the query, oldest first. retire_covered: an INOUT removes what it contains."""
        writes = self._writes.get(buffer)
        if writes is None:
            return []
        matches: list[Match] = []
        for position in writes.meeting(query.offset, query.offset + query.extent):
            overlap = box_overlap(query, writes.regions[position], buffer_elements)
            if overlap is Overlap.NONE:
                continue
            matches.append(Match(writes.producers[position], writes.regions[position], overlap))
            if retire_covered and overlap is Overlap.COVERED:
                writes.retire(position)
        return matches

    def register(self, buffer: int, region: Region, producer: int) -> None:
        """Record that `producer` writes `region`."""
        self._writes.setdefault(buffer, _Writes()).add(region, producer)
