"""Arrays in parts along their first axis, of which only those in use are in memory: a model's weights by layer.

A kernel that takes a stack of all layers' weights uses one layer's at a time. The memory of the others is not there:
the array lies in an anonymous mapping, a part is made when a kernel takes a view of it, and its pages go back when
the last view of it has gone.
"""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

_SMALLEST_DROPPED_BYTES = 1 << 20  # smaller parts share pages with their neighbours, and stay


class StackedArray(np.ndarray):
    """The array that a `Stack` fills. Views and copies of it are ordinary arrays: only the whole knows its parts."""

    stack: Stack | None

    def __array_finalize__(self, source: Any) -> None:
        self.stack = None


def _mapping(nbytes: int) -> mmap.mmap:
    """Zeros that take memory where they are touched. Private: pages of a shared mapping would stay when dropped."""
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, nbytes)


class Lease:
    """Keeps parts of a stack in memory as long as it exists."""

    __slots__ = ("__weakref__",)


class Stack:
    """An array of `count` equal parts.

    part_shape: of one part; the array has shape [count * part_shape[0], ...]. make: called with the number of a part
    that is missing; it must call `fill` for it. kept: parts are never dropped, because a kernel writes them.

    On a host without madvise (Windows) nothing is dropped.
    """

    def __init__(
        self, count: int, part_shape: tuple[int, ...], dtype: Any, make: Callable[[int], None], *, kept: bool = False
    ) -> None:
        self.count, self.part_shape, self.dtype, self.kept = count, part_shape, np.dtype(dtype), kept
        self._make = make
        self._elements = int(np.prod(part_shape))
        self._part_bytes = self._elements * self.dtype.itemsize
        self._memory = _mapping(max(1, count * self._part_bytes))
        self._made: set[int] = set()
        self._leases = [0] * count

    def array(self) -> StackedArray:
        """The whole, on the same memory each time. A part that was not made reads as zeros outside a kernel."""
        flat = np.frombuffer(self._memory, self.dtype, self.count * self._elements)
        shape = (self.count * self.part_shape[0], *self.part_shape[1:])
        found = flat.reshape(shape).view(StackedArray)
        found.stack = self
        return found

    def begin(self) -> None:
        """A run begins: parts that an earlier run, or an attempt of this one, has written are made again."""
        if self.kept:
            self._made.clear()

    def part(self, index: int) -> np.ndarray:
        """Part `index` of the array, made or not."""
        first = index * self._elements
        flat = np.frombuffer(self._memory, self.dtype, self._elements, first * self.dtype.itemsize)
        return flat.reshape(self.part_shape)

    def is_made(self, index: int) -> bool:
        """Whether part `index` is in memory."""
        return index in self._made

    def fill(self, index: int, values: np.ndarray) -> None:
        """Give part `index` its values."""
        self.part(index)[...] = values
        self._made.add(index)

    def lease(self, first: int, last: int) -> Lease:
        """Have the parts of the elements `first` to `last` (inclusive, in the flat array) made, and keep them."""
        parts = range(first // self._elements, last // self._elements + 1)
        for index in parts:
            if index not in self._made:
                self._make(index)
                assert index in self._made, f"part {index} was not filled"
            self._leases[index] += 1
        lease = Lease()
        weakref.finalize(lease, self._release, parts)
        return lease

    def _release(self, parts: range) -> None:
        for index in parts:
            self._leases[index] -= 1
            if not self._leases[index] and not self.kept and self._part_bytes >= _SMALLEST_DROPPED_BYTES:
                self._drop(index)

    def _drop(self, index: int) -> None:
        """Give the pages back that lie wholly in a part; what shares a page with its neighbours stays."""
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is None:
            return
        start = -(-index * self._part_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (index + 1) * self._part_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        self._made.discard(index)
        if stop > start:
            self._memory.madvise(advice, start, stop - start)
