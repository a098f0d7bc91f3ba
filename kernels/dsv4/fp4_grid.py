"""The e2m1 grid, compiled: weights put on it and quantised again for each output."""

import math

import numba
import numpy as np

GROUP = 32  # inputs of one factor
# The e2m1 value for (i - 1) / 4 < x <= i / 4: the nearest one, halfway the smaller.
MAGNITUDES = (
    0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 6.0, 6.0,
    6.0, 6.0,
)  # fmt: skip


@numba.njit(nogil=True)
def requantise(weights: np.ndarray, values: np.ndarray, factors: np.ndarray, floor: float, top: float) -> float:
    """Overwrite weights [outputs, inputs] FP32 by the grid, and fill values and factors. Returns the sum of squares of
    values with their factors."""
    magnitudes = np.array(MAGNITUDES, np.float32)
    squares = 0.0
    for row in range(weights.shape[0]):
        largest = floor
        for start in range(0, weights.shape[1], GROUP):
            group = weights[row, start : start + GROUP]
            peak = np.float32(0.0)
            for x in group:
                peak = max(peak, abs(x))
            factor = np.float32(2.0) ** np.ceil(np.log2(max(peak / np.float32(6.0), np.float32(1e-20))))
            quarters = np.float32(4.0) / factor  # exact: the factor is a power of two
            for i in range(GROUP):
                kept = magnitudes[np.int64(np.ceil(abs(group[i]) * quarters))] * factor
                largest = max(largest, kept)
                group[i] = math.copysign(kept, group[i])
        factors[row] = np.float32(largest) / np.float32(top)
        inverse = np.float32(1.0) / factors[row]
        total = 0.0
        for i in range(weights.shape[1]):
            value = np.rint(weights[row, i] * inverse)
            values[row, i] = np.int8(value)
            total += value * value
        squares += total * factors[row] * factors[row]
    return squares
