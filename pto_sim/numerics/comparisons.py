"""Comparisons and selection; packed masks hold one bit for each column, the lowest bit first.

pto-isa: include/pto/cpu/TCmp.h, TCmps.hpp, TSel.hpp, TSelS.hpp. A mask tile is UINT8 and has
round_up(ceil(N / 8), 32) columns (pypto: src/ir/op/tile_ops/elementwise.cpp, MakePackedPredicateTileType).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.numerics.element_types import is_float
from pto_sim.numerics.elementwise import _operand
from pto_sim.numerics.profiles import CPU_SIM
from pto_sim.numerics.simulator_masks import packed_bits, running_bits, scalar_mask

MODES = ("eq", "ne", "lt", "le", "gt", "ge")
_COMPARE = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
_TOLERANCE = 1e-9


def mask_columns(columns: int) -> int:
    """Bytes of a row of a packed mask for `columns` elements."""
    return ((columns + 7) // 8 + 31) // 32 * 32


def packed(bits: np.ndarray) -> np.ndarray:
    """bool [..., N] as uint8 [..., mask_columns(N)]; what is behind the last column is 0."""
    return _widened(packed_bits(bits), bits.shape[-1])


def unpacked(mask: np.ndarray, columns: int) -> np.ndarray:
    """The first `columns` bits of each row of a packed mask, as bool."""
    raw = np.ascontiguousarray(mask).view(np.uint8)
    return np.unpackbits(raw, axis=-1, bitorder="little")[..., :columns].astype(bool)


def compare(a: np.ndarray, b: Any, cmp_type: int, profile: str) -> np.ndarray:
    """The comparison as bool. Under cpu-sim a float tile is (in)equal to a number within 1e-9, as TCMPS does."""
    other = _operand(b, a)
    scalar = not isinstance(b, np.ndarray) or other.ndim != np.asarray(b).ndim
    with np.errstate(all="ignore"):
        if scalar and profile == CPU_SIM and cmp_type < 2:
            gap = np.abs(a.astype(np.float64) - other.astype(np.float64))
            return gap < _TOLERANCE if cmp_type == 0 else ~(gap <= _TOLERANCE) & ~_same_infinity(a, other)
        return _COMPARE[cmp_type](a, other)


def _same_infinity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if not is_float(a.dtype):
        return np.zeros(np.broadcast_shapes(a.shape, b.shape), bool)
    wide, other = a.astype(np.float64), b.astype(np.float64)
    return np.isinf(wide) & (wide == other)


def cmp(
    a: np.ndarray, b: Any, *, cmp_type: int, packed_mask: bool = True, width: int = 0, profile: str = "a2a3"
) -> np.ndarray:
    """a ? b by `cmp_type`: a packed mask, or 0 and 1 in a's type.

    width: columns of a's tile in memory (0: those of a), which the layout of the simulator's masks depends on.
    """
    bits = compare(a, b, cmp_type, profile)
    if profile == CPU_SIM and bits.ndim == 3:
        is_number = not isinstance(b, np.ndarray) or b.ndim != a.ndim
        mask = scalar_mask(bits, width) if is_number else packed_bits(bits)
        if not packed_mask:
            return running_bits(mask, bits.shape[1], bits.shape[2], mask.shape[-1]).astype(a.dtype)
        return _widened(mask, bits.shape[-1])
    return packed(bits) if packed_mask else bits.astype(a.dtype)


def _widened(mask: np.ndarray, columns: int) -> np.ndarray:
    out = np.zeros((*mask.shape[:-1], mask_columns(columns)), np.uint8)
    out[..., : mask.shape[-1]] = mask
    return out


def _mask_bits(mask: np.ndarray, a: np.ndarray, mask_bytes: int, profile: str) -> np.ndarray:
    """One bit for each element of a; the simulator reads a running stream, which needs the mask's valid bytes."""
    if profile == CPU_SIM and mask_bytes and a.ndim == 3:
        return running_bits(np.ascontiguousarray(mask).view(np.uint8), a.shape[1], a.shape[2], mask_bytes)
    return unpacked(mask, a.shape[-1])


def sel(mask: np.ndarray, a: np.ndarray, b: np.ndarray, *, mask_bytes: int = 0, profile: str = "a2a3") -> np.ndarray:
    """a where the mask's bit is set, else b. mask_bytes: valid bytes of a mask row (0: as many as a row of a needs)."""
    return np.where(_mask_bits(mask, a, mask_bytes, profile), a, b)


def sels(mask: np.ndarray, a: np.ndarray, scalar: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a where the mask's bit is set, else the number."""
    return np.where(unpacked(mask, a.shape[-1]), a, _operand(scalar, a))
