"""Tiles made from numbers: Philox random words and triangles.

pto-isa: include/pto/cpu/TRandom.hpp, TTRI.hpp. Philox4x32 after Salmon et al., "Parallel random numbers: as easy as
1, 2, 3" (2011).
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.element_types import STORAGE

_MULTIPLY = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_CHUNK = 256
_BLOCK = 8
_LANES = 64


def _philox(counters: np.ndarray, key: tuple[int, int], rounds: int) -> np.ndarray:
    """counters: uint64 [n, 4], each word below 2^32. Returns uint32 [n, 4]."""
    words = [counters[:, i] for i in range(4)]
    key0, key1 = key
    for _ in range(rounds):
        product0, product1 = _MULTIPLY[0] * words[0], _MULTIPLY[1] * words[2]
        words = [
            (product1 >> np.uint64(32)) ^ words[1] ^ np.uint64(key0),
            product1 & _LOW,
            (product0 >> np.uint64(32)) ^ words[3] ^ np.uint64(key1),
            product0 & _LOW,
        ]
        key0, key1 = (key0 + _WEYL[0]) & 0xFFFFFFFF, (key1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack(words, axis=1).astype(np.uint32)


def random(
    *,
    key: tuple[int, int],
    counter: tuple[int, int, int, int],
    shape: tuple[int, ...],
    valid: tuple[int, ...] | None = None,
    dtype: str = "UINT32",
    rounds: int = 10,
    row_stride: int = 0,
    profile: str = "a2a3",
) -> np.ndarray:
    """Random words. Lane l of 64 of a chunk of 256 columns uses counter + l; its word w is column 64 w + l.

    valid: rows and columns that get words (None: all), the others are 0. row_stride: columns of the tile in memory
    (0: those of `shape`, in blocks of 32 bytes); the counter grows by a quarter of it per chunk.
    """
    rows, columns = valid or shape
    stride = row_stride or -(-shape[-1] // _BLOCK) * _BLOCK
    start = sum(int(word) << (32 * place) for place, word in enumerate(counter))
    out = np.zeros(shape, np.uint32)
    for row in range(rows):
        for first in range(0, columns, _CHUNK):
            numbers = [(start + lane) % (1 << 128) for lane in range(_LANES)]
            words = np.array([[(n >> (32 * w)) & 0xFFFFFFFF for w in range(4)] for n in numbers], np.uint64)
            values = _philox(words, key, rounds).T.reshape(-1)
            count = min(_CHUNK, columns - first)
            out[row, first : first + count] = values[:count]
            start += stride // 4
    return out.astype(STORAGE[dtype])[None]


def tri(
    *, diagonal: int, shape: tuple[int, ...], dtype: str = "INT32", upper: bool = False, profile: str = "a2a3"
) -> np.ndarray:
    """1 on and below the diagonal (on and above it if upper), else 0."""
    rows, columns = np.indices(shape[-2:])
    kept = columns >= rows + diagonal if upper else columns <= rows + diagonal
    return np.broadcast_to(kept.astype(STORAGE[dtype]), (1, *shape)).copy()
