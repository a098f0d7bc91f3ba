"""MGATHER and MSCATTER: rows or elements of a table in GM, by an index tile.

pto-isa: docs/isa/tile/ops/memory-and-data-movement/mgather.md, include/pto/npu/a2a3/MGather.hpp (mgather_remap). An
index counts as an unsigned 32-bit number, so a negative one is a large one; cpu-sim extends it to 64 bits.
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.index_errors import GatherIndexError
from pto_sim.numerics.profiles import CPU_SIM

OUT_OF_BOUNDS = ("undefined", "clamp", "wrap", "zero")
ROW, ELEM = 0, 1


def remapped(index: np.ndarray, extent: int, oob: int, profile: str, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Where an index tile leads: (places int64 inside 0..extent - 1, which of them are to be accessed).

    oob: a position in OUT_OF_BOUNDS; 'zero' leaves the places out. Raises GatherIndexError for an index outside if
    it is 'undefined'.
    """
    signed = index.astype(np.int64)
    inside = (signed >= 0) & (signed < extent)
    if inside.all() or OUT_OF_BOUNDS[oob] == "zero":
        return np.where(inside, signed, 0), inside
    if OUT_OF_BOUNDS[oob] == "undefined":
        lane, *place = np.argwhere(~inside)[0].tolist()
        raise GatherIndexError(lane, tuple(place), int(signed[(lane, *place)]), extent, what)
    if OUT_OF_BOUNDS[oob] == "clamp":
        return np.where(inside, signed, extent - 1), np.ones_like(inside)
    bits = 64 if profile == CPU_SIM else 32
    wrapped = (signed.astype(object) % (1 << bits)) % extent
    return wrapped.astype(np.int64), np.ones_like(inside)


def mgather(table: np.ndarray, index: np.ndarray, *, coalesce: int, oob: int, profile: str = "a2a3") -> np.ndarray:
    """Rows (coalesce 0) or elements (1) of a table. table: [L, ..., D]; index: [L, 1, R] or [L, R, 1]; [L, M, N].

    Rows give [L, R, D], elements, counted through the whole table, a tile of the index's shape. oob: see `remapped`;
    what 'zero' leaves out is 0.
    """
    lanes = max(len(table), len(index))
    source = table.reshape(len(table), -1, table.shape[-1] if coalesce == ROW else 1)
    places, taken = remapped(index, source.shape[1], oob, profile, "gather")
    flat = np.broadcast_to(places, (lanes, *places.shape[1:])).reshape(lanes, -1)
    picked = np.take_along_axis(np.broadcast_to(source, (lanes, *source.shape[1:])), flat[..., None], 1)
    kept = np.broadcast_to(taken, (lanes, *taken.shape[1:])).reshape(lanes, -1, 1)
    out = np.where(kept, picked, np.zeros((), table.dtype))
    return out if coalesce == ROW else out.reshape(lanes, *index.shape[1:])


def mscatter(table: np.ndarray, src: np.ndarray, index: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """A copy of the table with flat[index] = src in row order, lane after lane: the last write to a place stays.

    table: [1, ...]; src, index: [L, M, N]. Raises GatherIndexError for an index outside the table.
    """
    lanes = max(len(src), len(index))
    places, _ = remapped(index, table[0].size, 0, profile, "scatter")
    out = table.copy()
    at = np.broadcast_to(places, (lanes, *places.shape[1:])).reshape(-1)
    np.put(out, at, np.broadcast_to(src, (lanes, *src.shape[1:])))
    return out
