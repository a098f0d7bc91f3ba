"""Elements picked and placed by column patterns, flat indices and byte offsets.

pto-isa: include/pto/cpu/TGather.hpp, TGatherB.hpp, TScatter.hpp. A pattern keeps every second or fourth column.
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.movement import GatherIndexError
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
    if profile != CPU_SIM and not inside.all():
        lane, *place = np.argwhere(~inside)[0].tolist()
        value = int(at[(lane, *place)])
        raise GatherIndexError(lane, place[0] if len(place) > 1 else 0, place[-1], value, flat.shape[1])
    got = np.take_along_axis(flat, np.where(inside, at, 0).reshape(lanes, -1), 1).reshape(at.shape)
    return np.where(inside, got, np.zeros((), x.dtype))


def gatherb(x: np.ndarray, offsets: np.ndarray, *, columns: int, profile: str = "a2a3") -> np.ndarray:
    """Blocks of 32 bytes by byte offset: block j of row r comes from byte offsets[r, j]. Result [L, M, columns].

    Raises GatherIndexError for a block past the end of x; cpu-sim leaves zeros there.
    """
    lanes = max(len(x), len(offsets))
    source = np.ascontiguousarray(x).reshape(len(x), -1).view(np.uint8)
    rows, per_row = offsets.shape[1], columns * x.dtype.itemsize // GATHER_BLOCK_BYTES
    out = np.zeros((lanes, rows, per_row * GATHER_BLOCK_BYTES), np.uint8)
    for lane in range(lanes):
        data, where = source[min(lane, len(source) - 1)], offsets[min(lane, len(offsets) - 1)]
        for row in range(rows):
            for block in range(per_row):
                first = int(where[row, block])
                if first + GATHER_BLOCK_BYTES <= len(data):
                    to = block * GATHER_BLOCK_BYTES
                    out[lane, row, to : to + GATHER_BLOCK_BYTES] = data[first : first + GATHER_BLOCK_BYTES]
                elif profile != CPU_SIM:
                    raise GatherIndexError(lane, row, block, first, len(data))
    return out.view(x.dtype)


def scatter_flat(dst: np.ndarray, src: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """A copy of dst with dst.flat[index] = src in row order, so the last write to a place stays.

    Raises GatherIndexError for an index outside dst, which upstream would write anyway.
    """
    lanes = max(len(dst), len(src), len(index))
    out = np.array(np.broadcast_to(dst, (lanes, *dst.shape[1:])))
    flat = out.reshape(lanes, -1)
    at = np.broadcast_to(index, (lanes, *index.shape[1:])).reshape(lanes, -1).astype(np.int64)
    values = np.broadcast_to(src, (lanes, *src.shape[1:])).reshape(lanes, -1)
    bad = np.argwhere((at < 0) | (at >= flat.shape[1]))
    if len(bad):
        lane, place = bad[0].tolist()
        row, column = divmod(place, index.shape[-1])
        raise GatherIndexError(lane, row, column, int(at[lane, place]), flat.shape[1])
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
