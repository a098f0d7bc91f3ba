"""INT8 weights as the checkpoint's FP4 ones become: values on an e2m1 grid, quantised again for each output.

The checkpoint stores routed experts as e2m1 with one power-of-two factor for 32 inputs of an output. Quantised for each
output to INT8 they keep a few dozen levels, many of them zero, and nearly equal factors. Source of the grid: pypto-lib
9f31b7eb, models/deepseek/v4/expert_routed.py (gen_routed_weight).
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from config import INT8_AMAX_EPS, INT8_SCALE_MAX
from draws import stream

GROUP = 32  # inputs of one factor
THREADS = 2


@numba.njit(nogil=True)
def _magnitude(x: float) -> float:
    """The e2m1 value nearest to x >= 0; halfway goes to the smaller one."""
    if x <= 0.25:
        return 0.0
    if x <= 0.75:
        return 0.5
    if x <= 1.25:
        return 1.0
    if x <= 1.75:
        return 1.5
    if x <= 2.5:
        return 2.0
    if x <= 3.5:
        return 3.0
    return 4.0 if x <= 5.0 else 6.0


@numba.njit(nogil=True)
def _requantise(weights: np.ndarray, values: np.ndarray, factors: np.ndarray, floor: float, top: float) -> float:
    """Overwrite weights [outputs, inputs] FP32 by the grid, and fill values and factors. Returns the sum of squares of
    values with their factors."""
    squares = 0.0
    for row in range(weights.shape[0]):
        largest = floor
        for start in range(0, weights.shape[1], GROUP):
            group = weights[row, start : start + GROUP]
            peak = np.float32(0.0)
            for x in group:
                peak = max(peak, abs(x))
            factor = np.float32(2.0) ** np.ceil(np.log2(max(peak / np.float32(6.0), np.float32(1e-20))))
            for i in range(GROUP):
                kept = np.float32(_magnitude(abs(group[i]) / factor) * factor)
                largest = max(largest, kept)
                group[i] = -kept if group[i] < 0 else kept
        factors[row] = np.float32(largest) / np.float32(top)
        inverse = np.float32(1.0) / factors[row]
        total = 0.0
        for i in range(weights.shape[1]):
            value = np.rint(weights[row, i] * inverse)
            values[row, i] = np.int8(value)
            total += value * value
        squares += total * factors[row] * factors[row]
    return squares


def fp4_weights(seed: int, name: str, shape: tuple[int, int, int], std: float) -> tuple[np.ndarray, np.ndarray]:
    """INT8 weights [experts, outputs, inputs] and FP32 factors [experts, outputs].

    std: standard deviation of the weights with their factors. Every expert has its own random stream, so that only one
    of them is held as FP32 by each thread.
    """
    values, factors = np.empty(shape, np.int8), np.empty(shape[:2], np.float32)

    def one(expert: int) -> float:
        weights = stream(seed, f"{name}.{expert}").standard_normal(shape[1:], np.float32)
        return _requantise(weights, values[expert], factors[expert], INT8_AMAX_EPS, INT8_SCALE_MAX)

    with ThreadPoolExecutor(THREADS) as pool:
        squares = sum(pool.map(one, range(shape[0])))
    factors *= np.float32(std / np.sqrt(squares / values.size))
    return values, factors
