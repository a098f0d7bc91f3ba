"""Sorting: 32-element blocks, and merging of sorted lists of records.

pto-isa: include/pto/cpu/TSort32.hpp, TMrgSort.hpp. A record has 8 bytes: an FP32 value and its index, or an FP16
value, a zero and the index in two halves. Equal values: the smaller index first in a block, the earlier list first
in a merge.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pto_sim.numerics.casts import convert
from pto_sim.numerics.element_types import BFLOAT16
from pto_sim.numerics.profiles import CPU_SIM

BLOCK = 32


def record_elements(dtype: np.dtype) -> int:
    """Elements of one record."""
    return 8 // dtype.itemsize


def sort32(x: np.ndarray, index: np.ndarray, *, width: int = 0, profile: str = "a2a3") -> np.ndarray:
    """Each block of 32 columns of each row in descending order, as records. x, index: [L, M, N].

    width: elements of a record, which the type fixes. Result [L, M, N * width].
    Under cpu-sim a 16-bit block starts at element 64 b, so it overwrites half
    of the block before it, as the reference simulator does.
    """
    lanes = max(len(x), len(index))
    x, index = np.broadcast_to(x, (lanes, *x.shape[1:])), np.broadcast_to(index, (lanes, *index.shape[1:]))
    width = record_elements(x.dtype)
    out = np.zeros((*x.shape[:-1], x.shape[-1] * width), x.dtype)
    value = convert(np.ascontiguousarray(x), "FP32") if x.dtype in (np.float16, BFLOAT16) else x
    for first in range(0, x.shape[-1], BLOCK):
        part = slice(first, min(first + BLOCK, x.shape[-1]))
        keys = value[..., part]
        # lexsort: the last key is the main one; negation keeps the order of equal values by index.
        order = np.lexsort((index[..., part], -keys.astype(np.float64)), axis=-1)
        sorted_x = np.take_along_axis(x[..., part], order, -1)
        sorted_i = np.take_along_axis(index[..., part], order, -1).astype(np.uint32)
        records = np.zeros((*sorted_x.shape, width), x.dtype)
        records[..., 0] = sorted_x
        words = np.ascontiguousarray(sorted_i)[..., None].view(x.dtype)
        records[..., width - words.shape[-1] :] = words
        flat = records.reshape(*sorted_x.shape[:-1], -1)
        start = 2 * first if profile == CPU_SIM else width * first
        out[..., start : start + flat.shape[-1]] = flat
    return out


@njit(cache=True, nogil=True)
def _merge(keys, starts, ends, order, limit, exhausted):  # type: ignore[no-untyped-def]
    """Record numbers of a merge in descending order of key; returns how many. starts, ends: [lists], changed."""
    count = 0
    while count < limit:
        pick = -1
        for k in range(len(starts)):
            if starts[k] < ends[k] and (pick < 0 or keys[starts[k]] > keys[starts[pick]]):
                pick = k
        if pick < 0:
            break
        order[count] = starts[pick]
        count += 1
        starts[pick] += 1
        if exhausted and starts[pick] == ends[pick]:
            break
    return count


def _records(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[L, 1, C] as records [L, R, width], and their keys [L, R]."""
    width = record_elements(x.dtype)
    records = np.ascontiguousarray(x).reshape(len(x), -1, width)
    key = np.ascontiguousarray(records[..., 0])
    return records, convert(key, "FP32") if x.dtype in (np.float16, BFLOAT16) else key


def mrgsort(x: np.ndarray, *, block_len: int, profile: str = "a2a3") -> np.ndarray:
    """Groups of four consecutive sorted runs of `block_len` elements merged; an incomplete group is left as it is."""
    records, keys = _records(x)
    run = block_len // records.shape[-1]
    out = records.copy()
    order = np.empty(4 * run, np.int64)
    for lane in range(len(records)):
        for first in range(0, records.shape[1] - 4 * run + 1, 4 * run):
            starts = first + run * np.arange(4)
            count = _merge(keys[lane], starts, starts + run, order, 4 * run, False)
            out[lane, first : first + count] = records[lane, order[:count]]
    return out.reshape(x.shape)


def mrgsort_lists(*lists: np.ndarray, exhausted: bool = False, profile: str = "a2a3") -> np.ndarray:
    """Two to four sorted rows of records merged. exhausted: stop once a list is used up; the rest is zero."""
    lanes = max(len(part) for part in lists)
    joined = np.concatenate([np.broadcast_to(part, (lanes, *part.shape[1:])) for part in lists], axis=-1)
    records, keys = _records(joined)
    lengths = [part.shape[-1] // records.shape[-1] for part in lists]
    ends = np.cumsum(lengths)
    out = np.zeros_like(records)
    order = np.empty(records.shape[1], np.int64)
    for lane in range(lanes):
        starts = ends - lengths
        count = _merge(keys[lane], starts, ends, order, records.shape[1], exhausted)
        out[lane, :count] = records[lane, order[:count]]
    return out.reshape(joined.shape)
