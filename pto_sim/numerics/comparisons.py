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

MODES = ("eq", "ne", "lt", "le", "gt", "ge")
_COMPARE = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
_TOLERANCE = 1e-9


def mask_columns(columns: int) -> int:
    """Bytes of a row of a packed mask for `columns` elements."""
    return ((columns + 7) // 8 + 31) // 32 * 32


def packed(bits: np.ndarray) -> np.ndarray:
    """bool [..., N] as uint8 [..., mask_columns(N)]; what is behind the last column is 0."""
    out = np.zeros((*bits.shape[:-1], mask_columns(bits.shape[-1])), np.uint8)
    short = np.packbits(bits, axis=-1, bitorder="little")
    out[..., : short.shape[-1]] = short
    return out


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


def cmp(a: np.ndarray, b: Any, *, cmp_type: int, packed_mask: bool = True, profile: str = "a2a3") -> np.ndarray:
    """a ? b by `cmp_type`: a packed mask, or 0 and 1 in a's type."""
    bits = compare(a, b, cmp_type, profile)
    return packed(bits) if packed_mask else bits.astype(a.dtype)


def sel(mask: np.ndarray, a: np.ndarray, b: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """a where the mask's bit is set, else b."""
    return np.where(unpacked(mask, a.shape[-1]), a, b)


def sels(mask: np.ndarray, a: np.ndarray, scalar: Any, *, profile: str = "a2a3") -> np.ndarray:
    """a where the mask's bit is set, else the number."""
    return np.where(unpacked(mask, a.shape[-1]), a, _operand(scalar, a))
