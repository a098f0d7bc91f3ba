"""The hash of an output: what it is a function of, and what it leaves out."""

from __future__ import annotations

import hashlib

import numpy as np

from pto_sim.program.forks import read_slab

_SLAB = 1 << 20  # elements that are made canonical at a time: an output may be a gibibyte of caches
_NAN_RULES = {
    # dtype name: (unsigned view, exponent mask, mantissa mask, canonical quiet NaN)
    "float32": (np.uint32, 0x7F800000, 0x007FFFFF, 0x7FC00000),
    "float16": (np.uint16, 0x7C00, 0x03FF, 0x7E00),
    "bfloat16": (np.uint16, 0x7F80, 0x007F, 0x7FC0),
    "float64": (np.uint64, 0x7FF0000000000000, 0x000FFFFFFFFFFFFF, 0x7FF8000000000000),
}


def output_sha256(array: np.ndarray, written: np.ndarray | None = None) -> str:
    """SHA-256 of the little-endian bytes of `array` in C order, as lower-case hex.

    Every NaN counts as the canonical quiet NaN of its dtype. written: bool, shape of `array`; elements where it
    is False are left out (None: all were written).
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    mask = None if written is None else np.asarray(written, bool).reshape(-1)
    digest = hashlib.sha256()
    for start in range(0, flat.size, _SLAB):
        part = read_slab(flat, start, min(start + _SLAB, flat.size))
        if mask is not None:
            part = part[mask[start : start + _SLAB]]
        digest.update(np.ascontiguousarray(_canonical(part)).view(np.uint8).data)
    return digest.hexdigest()


def _canonical(flat: np.ndarray) -> np.ndarray:
    """`flat` as little-endian integers or bytes, with one bit pattern for NaN."""
    rule = _NAN_RULES.get(flat.dtype.name)
    if rule is None:
        return flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8)
    view, *masks = rule
    exponent, mantissa, canonical = (np.array(mask, view) for mask in masks)
    bits = flat.view(view)
    is_nan = ((bits & exponent) == exponent) & ((bits & mantissa) != 0)
    if is_nan.any():
        bits = np.where(is_nan, canonical, bits)
    return bits.astype(np.dtype(view).newbyteorder("<"), copy=False)
