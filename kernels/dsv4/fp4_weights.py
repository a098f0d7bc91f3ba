"""INT8 weights as the checkpoint's FP4 ones become: values on an e2m1 grid, quantised again for each output.

The checkpoint stores routed experts as e2m1 with one power-of-two factor for 32 inputs of an output. Quantised for each
output to INT8 they keep a few dozen levels, many of them zero, and nearly equal factors. Source of the grid: pypto-lib
9f31b7eb, models/deepseek/v4/expert_routed.py (gen_routed_weight).
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from config import INT8_AMAX_EPS, INT8_SCALE_MAX
from draws import stream
from fp4_grid import requantise

THREADS = 2


def fp4_weights(seed: int, name: str, shape: tuple[int, int, int], std: float) -> tuple[np.ndarray, np.ndarray]:
    """INT8 weights [experts, outputs, inputs] and FP32 factors [experts, outputs].

    std: standard deviation of the weights with their factors. Every expert has its own random stream, so that only one
    of them is held as FP32 by each thread.
    """
    values, factors = np.empty(shape, np.int8), np.empty(shape[:2], np.float32)

    def one(expert: int) -> float:
        weights = stream(seed, f"{name}.{expert}").standard_normal(shape[1:], np.float32)
        return requantise(weights, values[expert], factors[expert], INT8_AMAX_EPS, INT8_SCALE_MAX)

    with ThreadPoolExecutor(THREADS) as pool:
        squares = sum(pool.map(one, range(shape[0])))
    factors *= np.float32(std / np.sqrt(squares / values.size))
    return values, factors
