"""exp, log, sqrt, rsqrt and recip: the exact value rounded once."""

from __future__ import annotations

import numpy as np


def _wide(function, x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return function(x.astype(np.float64)).astype(np.float32).astype(x.dtype)


def exp(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """e**x."""
    return _wide(np.exp, x)


def log(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Natural logarithm."""
    return _wide(np.log, x)


def sqrt(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """Square root."""
    return _wide(np.sqrt, x)


def rsqrt(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """1 / sqrt(x)."""
    return _wide(lambda v: 1.0 / np.sqrt(v), x)


def recip(x: np.ndarray, *, profile: str = "a2a3") -> np.ndarray:
    """1 / x in the element type."""
    with np.errstate(all="ignore"):
        return (np.float32(1) / x.astype(np.float32)).astype(x.dtype)
