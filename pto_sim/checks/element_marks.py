"""Which elements of a tensor are marked: one byte each until all of them are, then none."""

from __future__ import annotations

import numpy as np
from numba import njit

from pto_sim.program.model import Access

_RANK = 5
_Box = tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]


@njit(cache=True, nogil=True)
def _mark(marks, bases, sizes, strides):  # type: ignore[no-untyped-def]
    n0, n1, n2, n3, n4 = sizes
    s0, s1, s2, s3, s4 = strides
    new = 0
    for lane in range(len(bases)):
        for i0 in range(n0):
            for i1 in range(n1):
                for i2 in range(n2):
                    for i3 in range(n3):
                        start = bases[lane] + i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3
                        for i4 in range(n4):
                            new += marks[start + i4 * s4] == 0
                            marks[start + i4 * s4] = 1
    return new


@njit(cache=True, nogil=True)
def _any_unmarked(marks, bases, sizes, strides):  # type: ignore[no-untyped-def]
    n0, n1, n2, n3, n4 = sizes
    s0, s1, s2, s3, s4 = strides
    for lane in range(len(bases)):
        for i0 in range(n0):
            for i1 in range(n1):
                for i2 in range(n2):
                    for i3 in range(n3):
                        start = bases[lane] + i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3
                        for i4 in range(n4):
                            if marks[start + i4 * s4] == 0:
                                return True
    return False


def _box(access: Access) -> _Box:
    """Offsets, and extents and strides of five axes; neighbours that are contiguous are one axis."""
    axes: list[tuple[int, int]] = []
    for extent, stride in zip(access.shape, access.strides, strict=True):
        if extent == 1:
            continue
        if axes and axes[-1][1] == extent * stride:
            axes[-1] = axes[-1][0] * extent, stride
        else:
            axes.append((extent, stride))
    axes = [(1, 0)] * (_RANK - len(axes)) + axes
    assert len(axes) == _RANK, "a box of a tensor of at most five axes"
    offsets = np.ascontiguousarray(access.offsets, np.int64)
    return offsets, tuple(extent for extent, _ in axes), tuple(stride for _, stride in axes)


class ElementMarks:
    """The marks of a tensor of `size` elements. marks: uint8 [size], None once every element is marked."""

    def __init__(self, size: int) -> None:
        self.marks: np.ndarray | None = np.zeros(size, np.uint8)
        self._left = size

    def mark(self, access: Access) -> None:
        """Mark what the access touches."""
        if self.marks is not None:
            self._left -= _mark(self.marks, *_box(access))
            if not self._left:
                self.marks = None

    def mark_all(self) -> None:
        """Mark every element."""
        self.marks = None

    def misses(self, access: Access) -> bool:
        """Whether the access touches an element that is not marked."""
        return self.marks is not None and bool(_any_unmarked(self.marks, *_box(access)))
