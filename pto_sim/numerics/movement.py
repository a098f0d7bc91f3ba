"""Operators that move elements without arithmetic: gather, transpose, concat, fills."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from pto_sim.numerics.element_types import STORAGE, align_lanes, scalar_of
from pto_sim.numerics.index_errors import GatherIndexError
from pto_sim.numerics.profiles import CPU_SIM

_WORDS = {1: np.dtype(np.uint8), 2: np.dtype(np.uint16), 4: np.dtype(np.uint32), 8: np.dtype(np.uint64)}


@njit(cache=True, nogil=True, error_model="numpy")
def _gather_rows(source, index, out):  # type: ignore[no-untyped-def]
    """out[l, b, k] = source[l or 0, b, index[l or 0, b, k]], 0 where the index is outside; first such place, or -1."""
    lanes, rows, count = out.shape
    extent = source.shape[2]
    bad = np.int64(-1)
    for lane in range(lanes):
        s, t = min(lane, len(source) - 1), min(lane, len(index) - 1)
        for row in range(rows):
            for k in range(count):
                at = np.int64(index[t, row, k])
                inside = 0 <= at < extent
                if not inside and bad < 0:
                    bad = (lane * rows + row) * count + k
                # Two stores: one expression of a word and a literal 0 would be typed as their common type.
                if inside:
                    out[lane, row, k] = source[s, row, at]
                else:
                    out[lane, row, k] = 0
    return bad


def gather(source: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """out[l, b, k] = source[l, b, index[l, b, k]]. source: [L, B, S]; index: integer [L, B, K].

    Raises GatherIndexError under `a2a3` for an index outside the row; `cpu-sim` gives 0 there, as upstream's
    simulator does (pto-isa: include/pto/cpu/TGather.hpp).
    """
    lanes = max(source.shape[0], index.shape[0])
    out = np.empty((lanes, *index.shape[1:]), source.dtype)
    words = _WORDS[source.dtype.itemsize]
    source, index = np.ascontiguousarray(source), np.ascontiguousarray(index)
    bad = _gather_rows(source.view(words), index, out.view(words))
    if bad >= 0 and profile != CPU_SIM:
        lane, row, column = (int(axis) for axis in np.unravel_index(bad, out.shape))
        value = int(index[min(lane, len(index) - 1), row, column])
        raise GatherIndexError(lane, (row, column), value, source.shape[-1])
    return out


def transpose(x: np.ndarray, *, axis1: int = 0, axis2: int = 1, profile: str = "a2a3") -> np.ndarray:
    """Two tile axes exchanged, contiguous. x: [L, *shape]; negative axes count from the end."""
    rank = x.ndim - 1
    return np.ascontiguousarray(np.swapaxes(x, axis1 % rank + 1, axis2 % rank + 1))


def concat(*parts: np.ndarray, profile: str = "a2a3") -> np.ndarray:
    """Tiles side by side along their last axis. parts: [L, ..., N_i]."""
    lanes = max(part.shape[0] for part in parts)
    return np.concatenate([np.broadcast_to(part, (lanes, *part.shape[1:])) for part in parts], axis=-1)


def full(*, shape: tuple[int, ...], dtype: str, value: Any, profile: str = "a2a3") -> np.ndarray:
    """A constant tile [1, *shape], or [L, *shape] where `value` is an array [L]."""
    scalar = align_lanes(scalar_of(value, STORAGE[dtype]), len(shape) + 1)
    lanes = scalar.shape[0] if scalar.ndim else 1
    return np.broadcast_to(scalar, (lanes, *shape)).copy()


def arange(
    *, start: Any, shape: tuple[int, ...], dtype: str = "INT32", descending: bool = False, profile: str = "a2a3"
) -> np.ndarray:
    """start + j (start - j if descending) along the one row, wrapping in `dtype`. Result [1 or L, *shape]."""
    storage = STORAGE[dtype]
    steps = np.arange(shape[-1], dtype=np.int64)
    first = align_lanes(np.asarray(start, dtype=np.int64), len(shape) + 1)
    values = (first - steps if descending else first + steps).astype(storage)
    return values.reshape(values.shape[0] if first.ndim else 1, *shape)
