"""Elements picked and placed by column patterns, flat indices and byte offsets.

pto-isa: include/pto/cpu/TGather.hpp, TGatherB.hpp, TScatter.hpp. A pattern keeps every second or fourth column.
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.element_types import FILL_BYTE, STORAGE
from pto_sim.numerics.index_errors import first_outside
from pto_sim.numerics.profiles import CPU_SIM

# MaskPattern number -> (period, column within the period).
PATTERNS = {1: (2, 0), 2: (2, 1), 3: (4, 0), 4: (4, 1), 5: (4, 2), 6: (4, 3), 7: (1, 0)}
GATHER_BLOCK_BYTES = 32


def pattern_columns(pattern: int, columns: int) -> np.ndarray:
    """The columns that a pattern keeps."""
    period, first = PATTERNS[pattern]
    return np.arange(first, columns, period)


def gather_mask(x: np.ndarray, *, pattern: int, dtype: str, profile: str = "a2a3") -> np.ndarray:
    """The columns of a pattern side by side, their bits read as `dtype` of the same width."""
    out = np.ascontiguousarray(x[..., pattern_columns(pattern, x.shape[-1])])
    return out.view(STORAGE[dtype])


def gather_flat(x: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """out = x.flat[index] for each lane. An index outside: 0 in cpu-sim, GatherIndexError in a2a3."""
    lanes = max(len(x), len(index))
    flat = np.broadcast_to(x.reshape(len(x), -1), (lanes, x[0].size))
    at = np.broadcast_to(index, (lanes, *index.shape[1:])).astype(np.int64)
    inside = (at >= 0) & (at < flat.shape[1])
    error = first_outside(at, flat.shape[1], "gather")
    if profile != CPU_SIM and error is not None:
        raise error
    got = np.take_along_axis(flat, np.where(inside, at, 0).reshape(lanes, -1), 1).reshape(at.shape)
    return np.where(inside, got, np.zeros((), x.dtype))


def gatherb(x: np.ndarray, offsets: np.ndarray, *, columns: int, dtype: str = "", profile: str = "a2a3") -> np.ndarray:
    """Blocks of 32 bytes by byte offset: block j of row r comes from byte offsets[r, j]. Result [L, M, columns].

    Fewer offsets, of a partly valid tile, give fewer columns.
    dtype reads the blocks as another type than x's. Raises GatherIndexError for a block past the end of x; cpu-sim
    leaves the fill there.
    """
    element = STORAGE[dtype] if dtype else x.dtype
    lanes, rows = max(len(x), len(offsets)), offsets.shape[1]
    source = np.ascontiguousarray(x).reshape(len(x), -1).view(np.uint8)
    per_row = min(columns * element.itemsize // GATHER_BLOCK_BYTES, offsets.shape[-1])
    where = np.broadcast_to(offsets[..., :per_row], (lanes, rows, per_row)).astype(np.int64)
    error = first_outside(where, source.shape[1] - GATHER_BLOCK_BYTES + 1, "gather")
    if error is not None and profile != CPU_SIM:
        raise error
    inside = (where >= 0) & (where + GATHER_BLOCK_BYTES <= source.shape[1])
    at = np.where(inside, where, 0)[..., None] + np.arange(GATHER_BLOCK_BYTES)
    flat = np.broadcast_to(source, (lanes, source.shape[1]))
    out = np.take_along_axis(flat, at.reshape(lanes, -1), 1).reshape(at.shape)
    out[~inside] = FILL_BYTE
    return out.reshape(lanes, rows, -1).view(element)


def scatter_flat(dst: np.ndarray, src: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """flat[index] = src in row order, so the last write to a place stays. Result: dst's shape.

    a2a3 clears dst before it writes (pto-isa: include/pto/npu/a2a3/TScatter.hpp, InitUBBuffer); cpu-sim keeps what is
    not written. Raises GatherIndexError for an index outside dst, which the device would write anyway.
    """
    lanes = max(len(dst), len(src), len(index))
    error = first_outside(index, dst[0].size, "scatter")
    if error is not None:
        raise error
    out = np.zeros((lanes, *dst.shape[1:]), dst.dtype)
    if profile == CPU_SIM:
        out[...] = dst
    flat = out.reshape(lanes, -1)
    at = np.broadcast_to(index, (lanes, *index.shape[1:])).reshape(lanes, -1).astype(np.int64)
    values = np.broadcast_to(src, (lanes, *src.shape[1:])).reshape(lanes, -1)
    for lane in range(lanes):
        # np.put keeps the last of repeated places; a fancy store does not promise it.
        np.put(flat[lane], at[lane], values[lane])
    return out


def scatter_mask(dst: np.ndarray, src: np.ndarray, *, pattern: int, profile: str = "a2a3") -> np.ndarray:
    """src spread over the columns of a pattern; the other columns of dst become 0 (dst gives the shape)."""
    lanes = max(len(dst), len(src))
    out = np.zeros((lanes, *dst.shape[1:]), dst.dtype)
    out[..., pattern_columns(pattern, dst.shape[-1])] = src
    return out
