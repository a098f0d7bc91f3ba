"""Each overlap rule of the runtime's TensorMap as one minimal pair of regions."""

from __future__ import annotations

import numpy as np
import pytest

from pto_sim.lowering.tensor_map import Match, Overlap, Region, TensorMap, box_overlap
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
        # Elements 16 to 20 are in both; boxes would say that row 0 and row 1 do not meet.
        (Region(12, (1, 8), (16, 1), "FP32"), view((1, 2), (0, 4)), Overlap.OTHER),
        (view((1, 2), (0, 4)), Region(12, (1, 8), (16, 1), "FP32"), Overlap.OTHER),
        # Elements 16 to 20 are in both; with the query's strides the entry would be columns 8 to 16.
        (view((0, 8), (0, 8)), Region(8, (2, 8), (8, 1), "FP32"), Overlap.OTHER),
        # The same region twice, where the strides are those of no row-major shape of 128 elements.
        (Region(0, (2, 2, 1), (8, 3, 1), "FP32"), Region(0, (2, 2, 1), (8, 3, 1), "FP32"), Overlap.OTHER),
        (Region(0, (2, 2), (3, 1), "FP32"), Region(0, (2, 2), (3, 1), "FP32"), Overlap.OTHER),
        (view((6, 10), (0, 16)), view((6, 10), (0, 16)), Overlap.OTHER),  # runs over the end of the buffer
        (Region(0, (), (), "FP32"), Region(0, (), (), "FP32"), Overlap.OTHER),  # no axes
        (Region(4, (8,), (1,), "FP32"), Region(4, (8,), (1,), "FP32"), Overlap.COVERED),  # one axis
        (Region(4, (8,), (1,), "FP32"), Region(12, (8,), (1,), "FP32"), Overlap.NONE),
        (Region(4, (8,), (1,), "FP32"), Region(3, (8,), (1,), "FP32"), Overlap.OTHER),
    ],
)
def test_box_overlap(query, entry, expected):
    assert box_overlap(query, entry, SIZE) is expected


def test_disjoint_ranges_are_no_overlap_whatever_the_strides():
    entries = TensorMap()
    entries.register(0, Region(0, (16,), (1,), "FP32"), 3)
    assert producers(entries.lookup(0, Region(16, (4, 4), (4, 1), "INT8"), SIZE, retire_covered=False)) == []
    assert producers(entries.lookup(0, Region(15, (4, 4), (4, 1), "INT8"), SIZE, retire_covered=False)) == [3]
    entries.register(0, Region(32, (16,), (1,), "FP32"), 4)  # begins where the first of these ends
    assert producers(entries.lookup(0, Region(16, (4, 4), (4, 1), "INT8"), SIZE, retire_covered=False)) == []
    assert producers(entries.lookup(0, Region(17, (4, 4), (4, 1), "INT8"), SIZE, retire_covered=False)) == [4]


def test_a_match_says_who_wrote_what_and_how_it_overlaps():
    entries = TensorMap()
    entries.register(0, view((0, 8), (8, 16)), 1)  # its range meets the query's, its box does not
    entries.register(0, view((0, 2), (0, 4)), 2)
    entries.register(0, view((3, 5), (4, 12)), 3)
    assert entries.lookup(0, view((0, 4), (0, 8)), SIZE, retire_covered=False) == [
        Match(2, view((0, 2), (0, 4)), Overlap.COVERED),
        Match(3, view((3, 5), (4, 12)), Overlap.OTHER),
    ]


def test_every_row_of_many_writes_is_found_again():
    """More writes than the map has room for at first; each row is written once, row 5 a second time."""
    entries = TensorMap()
    rows = 40
    for row in range(rows):
        entries.register(0, Region(row * 16, (1, 16), (16, 1), "FP32"), row)
    entries.register(0, Region(5 * 16, (1, 16), (16, 1), "FP32"), 99)
    for row in range(rows):
        found = entries.lookup(0, Region(row * 16, (1, 16), (16, 1), "FP32"), rows * 16, retire_covered=False)
        assert producers(found) == ([5, 99] if row == 5 else [row])


def test_a_retired_write_is_not_found_at_the_start_of_a_buffer_either():
    entries = TensorMap()
    first = view((0, 1), (0, 1))
    entries.register(0, first, 1)
    assert producers(entries.lookup(0, WHOLE, SIZE, retire_covered=True)) == [1]
    assert producers(entries.lookup(0, first, SIZE, retire_covered=False)) == []


@pytest.mark.parametrize(
    ("region", "elements"),
    [
        (Region(0, (4, 4), (4, 1), "FP32"), 16),
        (Region(7, (2, 3), (16, 1), "FP32"), 16 + 2 + 1),
        (Region(0, (3,), (2,), "FP32"), 5),
        (Region(9, (1, 1), (16, 1), "FP32"), 1),
        (Region(0, (), (), "FP32"), 1),
    ],
)
def test_extent_is_the_distance_from_the_first_to_past_the_last_element(region, elements):
    assert region.extent == elements


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
