"""Packed masks as upstream's simulator lays them out and reads them, where that is not one mask row for each data row.

pto-isa: include/pto/cpu/TCmps.hpp, TSel.hpp. For rows of whole bytes, with a mask as wide as its rows need, both
layouts are the plain one.
"""

from __future__ import annotations

import numpy as np


def packed_bits(bits: np.ndarray) -> np.ndarray:
    """bool [..., N] as uint8 [..., ceil(N / 8)], the lowest bit first."""
    return np.packbits(bits, axis=-1, bitorder="little")


def scalar_mask(bits: np.ndarray, width: int) -> np.ndarray:
    """The mask of a comparison with a number. bits: bool [L, M, N]; width: columns of the tile in memory.

    The simulator packs each row with its padding, width / 8 bytes, and lays all bytes one after the other into mask
    rows of ceil(N / 8) bytes, so with padding a row runs on into the next. Result uint8 [L, M, ceil(N / 8)].
    """
    lanes, rows, columns = bits.shape
    padded = np.zeros((lanes, rows, max(width, columns)), bool)
    padded[..., :columns] = bits
    row_bytes = -(-columns // 8)
    stream = packed_bits(padded)[..., : padded.shape[-1] // 8].reshape(lanes, -1)
    if stream.shape[1] < rows * row_bytes:
        stream = np.pad(stream, ((0, 0), (0, rows * row_bytes - stream.shape[1])))
    return stream[:, : rows * row_bytes].reshape(lanes, rows, row_bytes)


def running_bits(mask: np.ndarray, rows: int, columns: int, row_bytes: int) -> np.ndarray:
    """The bits that a selection reads: bool [L, rows, columns] from a mask uint8 [L, M, B].

    One running stream: the bits of the first `row_bytes` bytes of mask row 0, then of row 1, whatever the data's rows.
    """
    stream = np.unpackbits(np.ascontiguousarray(mask[..., :row_bytes]), axis=-1, bitorder="little")
    return stream.reshape(len(mask), -1)[:, : rows * columns].reshape(len(mask), rows, columns).astype(bool)
