"""Boxes between a flat GM storage array and dense tiles: bounds checks and strided copies for a batch of lanes."""

from __future__ import annotations

import numpy as np
from numba import njit

RANK = 5

_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
_ONES = tuple((1,) * (RANK - rank) for rank in range(RANK + 1))
_ZEROS = tuple((0,) * (RANK - rank) for rank in range(RANK + 1))


@njit(inline="always")
def _copy_run(target, t_start, source, s_start, count):  # type: ignore[no-untyped-def]
    """target[t_start + i] = source[s_start + i]; unsigned indices spare the wrap-around test of negative ones."""
    t_first, s_first = np.uintp(t_start), np.uintp(s_start)
    for i in range(np.uintp(count)):
        target[t_first + i] = source[s_first + i]


@njit(cache=True, nogil=True, error_model="numpy")
def _gather_boxes(flat, bases, sizes, strides, dense):  # type: ignore[no-untyped-def]
    n0, n1, n2, n3, n4 = sizes
    s0, s1, s2, s3, s4 = strides
    at = 0
    for lane in range(len(bases)):
        for i0 in range(n0):
            for i1 in range(n1):
                for i2 in range(n2):
                    for i3 in range(n3):
                        start = bases[lane] + i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3
                        if s4 == 1:
                            _copy_run(dense, at, flat, start, n4)
                        else:
                            for i4 in range(n4):
                                dense[at + i4] = flat[start + i4 * s4]
                        at += n4


@njit(inline="always")
def _replace_run(target, t_start, source, s_start, count):  # type: ignore[no-untyped-def]
    """As `_copy_run`; returns the bits in which the old elements differed, or'ed together."""
    t_first, s_first = np.uintp(t_start), np.uintp(s_start)
    differing = target[t_first] ^ target[t_first]
    for i in range(np.uintp(count)):
        differing |= target[t_first + i] ^ source[s_first + i]
        target[t_first + i] = source[s_first + i]
    return differing


@njit(cache=True, nogil=True, error_model="numpy")
def _scatter_boxes(flat, bases, sizes, strides, dense, lane_size, same):  # type: ignore[no-untyped-def]
    n0, n1, n2, n3, n4 = sizes
    s0, s1, s2, s3, s4 = strides
    for lane in range(len(bases)):
        at = lane * lane_size
        differing = dense[0] ^ dense[0]
        for i0 in range(n0):
            for i1 in range(n1):
                for i2 in range(n2):
                    for i3 in range(n3):
                        start = bases[lane] + i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3
                        if s4 == 1:
                            differing |= _replace_run(flat, start, dense, at, n4)
                        else:
                            for i4 in range(n4):
                                differing |= flat[start + i4 * s4] ^ dense[at + i4]
                                flat[start + i4 * s4] = dense[at + i4]
                        at += n4
        same[lane] = differing == 0


@njit(cache=True, nogil=True, error_model="numpy")
def _box_offsets(offsets, shape, strides, sizes, base):  # type: ignore[no-untyped-def]
    rank, lanes = offsets.shape
    bad = lanes
    for lane in range(lanes):
        base[lane] = 0
    for axis in range(rank):
        last, stride = shape[axis] - sizes[axis], strides[axis]
        for lane in range(lanes):
            offset = offsets[axis, lane]
            if offset < 0 or offset > last:
                bad = min(bad, lane)
            base[lane] += offset * stride
    return bad if bad < lanes else -1


def _words(array: np.ndarray) -> np.ndarray:
    """The same bytes as unsigned words, so that one compiled copy serves every dtype of a size."""
    return array if array.dtype.kind == "u" else array.view(_UNSIGNED[array.itemsize])


def load_boxes(
    flat: np.ndarray, base_offsets: np.ndarray, sizes: tuple[int, ...], strides: tuple[int, ...], out: np.ndarray
) -> None:
    """Copy one box per lane from `flat` into out.

    flat: 1-D contiguous storage. base_offsets: int64 [L], element offset of each box. sizes, strides: extents
    and element strides, at most 5 dimensions. out: [L, *sizes], contiguous, of flat's dtype. Nothing is
    checked here: `box_offsets` does that.
    """
    rank = len(sizes)
    _gather_boxes(_words(flat), base_offsets, _ONES[rank] + sizes, _ZEROS[rank] + strides, _words(out).reshape(-1))


def store_boxes(
    flat: np.ndarray, base_offsets: np.ndarray, sizes: tuple[int, ...], strides: tuple[int, ...], source: np.ndarray
) -> np.ndarray:
    """Copy source into one box per lane of `flat`, in lane order (the last lane wins where boxes overlap).

    source: [L, *sizes], or [1, *sizes] for the same values on every lane; any strides. See `load_boxes`.
    Returns bool [L]: the box of the lane held these bits already, after the lanes before it.
    """
    rank = len(sizes)
    dense = _words(source if source.flags.c_contiguous else np.ascontiguousarray(source)).reshape(-1)
    lane_size = 0 if len(source) == 1 else len(dense) // len(source)
    same = np.ones(len(base_offsets), np.bool_)
    if dense.size:
        boxes = _ONES[rank] + sizes, _ZEROS[rank] + strides
        _scatter_boxes(_words(flat), base_offsets, *boxes, dense, lane_size, same)
    return same


def store_elements(flat: np.ndarray, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """flat[places[l]] = values[l], lane after lane; returns bool [L]: the place held these bits already.

    places: int64 [L]; values: [L] of flat's dtype. The last lane wins where places are equal.
    """
    order = np.argsort(places, kind="stable")
    sorted_places, new = places[order], _words(np.ascontiguousarray(values))[order]
    old = _words(flat)[sorted_places]
    again = np.flatnonzero(sorted_places[1:] == sorted_places[:-1]) + 1
    old[again] = new[again - 1]
    same = np.empty(len(places), np.bool_)
    same[order] = old == new
    flat[places] = values
    return same


def box_offsets(
    offsets: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[np.ndarray, int]:
    """Element offset of the box of `sizes` at `offsets` in each lane, and the first lane whose box leaves `shape`.

    offsets: int64 [rank, L]; rank at most 5. Returns (base int64 [L], lane), lane -1 if every box is inside.
    """
    base = np.empty(offsets.shape[1], np.int64)
    ones = _ONES[len(shape)]
    return base, _box_offsets(offsets, shape + ones, strides + ones, sizes + ones, base)
