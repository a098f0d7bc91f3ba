"""Symmetric INT8 quantisation by rows: activations have a scale for each token, weights one for each output."""

import numpy as np
from config import INT8_AMAX_EPS, INT8_SCALE_MAX


def quantize_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """INT8 values and the FP32 factor that turns them back, for x of shape [rows, columns].

    With a = max(max |x|, 1e-4) of a row and s = 127 / a, the values are x * s rounded half to even and the factor is
    1 / s. All steps are FP32; a value and its factor never leave [-127, 127].
    """
    x = np.asarray(x, np.float32)
    largest = np.maximum(np.abs(x).max(axis=1), np.float32(INT8_AMAX_EPS))
    scale = np.float32(INT8_SCALE_MAX) / largest
    return np.rint(x * scale[:, None]).astype(np.int8), np.float32(1.0) / scale
