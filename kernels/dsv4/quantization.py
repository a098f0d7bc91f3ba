"""Symmetric INT8 quantisation by rows: activations have a scale for each token, weights one for each output."""

from collections.abc import Callable

import numpy as np
from config import INT8_AMAX_EPS, INT8_SCALE_MAX
from draws import SLAB_ELEMENTS

Pair = tuple[np.ndarray, np.ndarray]


class Halves:
    """Values and factors, made together for two specs. A half is kept until it is asked for, not longer."""

    def __init__(self, make: Callable[[int], Pair]) -> None:
        self._make = make
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def values(self, seed: int) -> np.ndarray:
        """The first half."""
        return self._half(seed, 0)

    def factors(self, seed: int) -> np.ndarray:
        """The second half."""
        return self._half(seed, 1)

    def _half(self, seed: int, which: int) -> np.ndarray:
        if (seed, which) not in self._kept:
            self._kept = {(seed, half): array for half, array in enumerate(self._make(seed))}
        return self._kept.pop((seed, which))


def quantize_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """INT8 values and the FP32 factor that turns them back, for x of shape [rows, columns].

    With a = max(max |x|, 1e-4) of a row and s = 127 / a, the values are x * s rounded half to even and the factor is
    1 / s. All steps are FP32; a value and its factor never leave [-127, 127].
    """
    values, factors = np.empty(x.shape, np.int8), np.empty(len(x), np.float32)
    step = max(1, SLAB_ELEMENTS // x.shape[1])
    for first in range(0, len(x), step):
        rows = slice(first, first + step)
        part = np.asarray(x[rows], np.float32)
        scale = np.float32(INT8_SCALE_MAX) / np.maximum(np.abs(part).max(axis=1), np.float32(INT8_AMAX_EPS))
        values[rows], factors[rows] = np.rint(part * scale[:, None]), np.float32(1.0) / scale
    return values, factors
