"""Casts between element types."""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.element_types import STORAGE

MODES = ("none", "rint", "round", "floor", "ceil", "trunc", "odd")


def cast(x: np.ndarray, *, target: str, mode: str = "round", profile: str = "a2a3") -> np.ndarray:
    """x in the element type `target`."""
    with np.errstate(all="ignore"):
        if x.dtype.kind in "iub" or STORAGE[target].kind not in "iu":
            return x.astype(STORAGE[target])
        return np.rint(x.astype(np.float64)).astype(STORAGE[target])


def check_cast(tiles, attrs) -> None:
    """Raise OpTypeError if no conversion path exists."""
