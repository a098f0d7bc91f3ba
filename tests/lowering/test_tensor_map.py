"""Each overlap rule of the runtime's TensorMap as one minimal pair of regions."""

from __future__ import annotations

import numpy as np
import pytest

from pto_sim.lowering.tensor_map import Overlap, Region, TensorMap, box_overlap
from tests.lowering.builder import row_major

SHAPE = (8, 16)
SIZE = 128


def view(rows, cols, dtype="FP32"):
    offset = rows[0] * 16 + cols[0]
    return Region(offset, (rows[1] - rows[0], cols[1] - cols[0]), (16, 1), dtype)


def producers(matches):
    return [match.producer for match in matches]


WHOLE = view((0, 8), (0, 16))


@pytest.mark.parametrize(
    ("query", "entry", "expected"),
    [
        (view((0, 4), (0, 8)), view((2, 6), (8, 16)), Overlap.NONE),  # ranges meet, columns do not
        (view((0, 4), (0, 8)), view((4, 8), (0, 8)), Overlap.NONE),  # rows do not meet
        (WHOLE, view((2, 6), (8, 16)), Overlap.COVERED),
        (view((2, 6), (8, 16)), WHOLE, Overlap.OTHER),  # contained in the entry, not the other way round
        (view((0, 4), (0, 8)), view((3, 5), (4, 12)), Overlap.OTHER),
        (WHOLE, view((0, 1), (0, 1), "INT32"), Overlap.OTHER),  # another element type
        (WHOLE, Region(0, (128,), (1,), "FP32"), Overlap.OTHER),  # another rank
        (WHOLE, Region(0, (16, 8), (8, 1), "FP32"), Overlap.OTHER),  # another stride
        (Region(0, (8, 8), (16, 2), "FP32"), Region(1, (8, 8), (16, 2), "FP32"), Overlap.OTHER),  # step: last stride 2
        (Region(0, (2, 3), (5, 2), "FP32"), Region(0, (2, 3), (5, 2), "FP32"), Overlap.OTHER),
        (Region(12, (1, 8), (16, 1), "FP32"), WHOLE, Overlap.OTHER),  # runs over the end of its row
    ],
)
def test_box_overlap(query, entry, expected):
    assert box_overlap(query, entry, SIZE) is expected


def test_disjoint_ranges_are_no_overlap_whatever_the_strides():
    entries = TensorMap()
    entries.register(0, Region(0, (16,), (1,), "FP32"), 3)
    assert producers(entries.lookup(0, Region(16, (4, 4), (4, 1), "INT8"), SIZE, retire_covered=False)) == []
    assert producers(entries.lookup(0, Region(15, (4, 4), (4, 1), "INT8"), SIZE, retire_covered=False)) == [3]


def test_only_an_inout_retires_what_it_covers():
    entries = TensorMap()
    entries.register(0, view((2, 4), (0, 16)), 1)
    entries.register(0, view((0, 8), (0, 16)), 2)
    assert producers(entries.lookup(0, WHOLE, SIZE, retire_covered=False)) == [1, 2]
    part = view((2, 4), (0, 16))
    assert producers(entries.lookup(0, part, SIZE, retire_covered=True)) == [1, 2]  # covers entry 1 only
    assert producers(entries.lookup(0, part, SIZE, retire_covered=False)) == [2]
    assert producers(entries.lookup(0, WHOLE, SIZE, retire_covered=False)) == [2]


def test_buffers_are_apart():
    entries = TensorMap()
    entries.register(0, WHOLE, 1)
    assert producers(entries.lookup(1, WHOLE, SIZE, retire_covered=False)) == []


def test_boxes_agree_with_marked_elements():
    """Random boxes of one row-major tensor against sets of elements: NONE is exactly 'no element in common'."""
    rng = np.random.default_rng(7)
    shape = (4, 6, 8)
    strides = row_major(shape)
    cells = np.arange(192).reshape(shape)

    def draw():
        low = [int(rng.integers(0, n)) for n in shape]
        high = [int(rng.integers(a + 1, n + 1)) for a, n in zip(low, shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        offset = sum(a * s for a, s in zip(low, strides, strict=True))
        extents = tuple(b - a for a, b in zip(low, high, strict=True))
        return Region(offset, extents, strides, "FP32"), set(cells[box].ravel().tolist())

    seen = set()
    for _ in range(400):
        (query, in_query), (entry, in_entry) = draw(), draw()
        overlap = box_overlap(query, entry, 192)
        seen.add(overlap)
        assert (overlap is Overlap.NONE) == (not in_query & in_entry)
        assert (overlap is Overlap.COVERED) == (in_entry <= in_query)
    assert seen == set(Overlap)
