"""INT8 weights as the checkpoint's FP8 ones become: values on an e4m3 grid, quantised again for each output.

The checkpoint stores shared experts and the indexer's query weights as e4m3 with one power-of-two factor for each
128 x 128 block. Quantised for each output to INT8 they keep about 200 levels and a spread of factors that plain normal
weights do not have. Source of the grid: pypto-lib 9f31b7eb, models/deepseek/v4/decode_indexer.py (gen_shared_weight).
"""

import ml_dtypes
import numpy as np
from config import INT8_AMAX_EPS, INT8_SCALE_MAX
from draws import normal, stream

BLOCK = 128  # outputs and inputs of one factor
E4M3_MAX = 448.0


def on_e4m3_grid(weights: np.ndarray) -> np.ndarray:
    """Each block divided by the smallest power of two that makes it fit e4m3, rounded, and multiplied again.

    weights: [outputs, inputs] FP32, both multiples of `BLOCK`.
    """
    outputs, inputs = weights.shape
    blocks = weights.reshape(outputs // BLOCK, BLOCK, inputs // BLOCK, BLOCK)
    largest = np.abs(blocks).max(axis=(1, 3), keepdims=True)
    factor = np.exp2(np.ceil(np.log2(np.maximum(largest / np.float32(E4M3_MAX), np.float32(1e-20))))).astype(np.float32)
    rounded = (blocks / factor).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * factor
    return rounded.reshape(outputs, inputs)


def fp8_weights(
    seed: int, name: str, shape: tuple[int, int], std: float, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """INT8 weights [outputs, inputs] and FP32 factors [outputs].

    std: standard deviation of the weights with their factors. spread: deviation of the logarithm of each output's
    magnitude.
    """
    gains = np.exp(np.float32(spread) * normal(seed, f"{name}.gain", (shape[0], 1)))
    numbers, values, factors = stream(seed, name), np.empty(shape, np.int8), np.empty(shape[0], np.float32)
    total = squares = 0.0
    for first in range(0, shape[0], BLOCK):  # one block of outputs at a time is FP32
        rows = slice(first, first + BLOCK)
        weights = on_e4m3_grid(numbers.standard_normal((BLOCK, shape[1]), np.float32) * gains[rows])
        scale = np.maximum(np.abs(weights).max(axis=1), np.float32(INT8_AMAX_EPS)) / np.float32(INT8_SCALE_MAX)
        values[rows] = np.clip(np.rint(weights / scale[:, None]), -INT8_SCALE_MAX, INT8_SCALE_MAX)
        factors[rows] = scale
        scaled = (values[rows].astype(np.float32) * scale[:, None]).astype(np.float64)
        total, squares = total + float(scaled.sum()), squares + float((scaled * scaled).sum())
    deviation = np.sqrt(squares / values.size - (total / values.size) ** 2)
    return values, factors * np.float32(std / deviation)
