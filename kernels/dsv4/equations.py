"""Equations that several NumPy references share, written from the model's mathematics. FP32 unless said otherwise."""

from collections.abc import Iterator

import ml_dtypes
import numpy as np
from draws import SLAB_ELEMENTS

BF16 = ml_dtypes.bfloat16
_EXACT_COLUMNS = 1024  # 127 * 127 * 1024 < 2^24: sums of so many INT8 products are exact in FP32


def f32(x: np.ndarray) -> np.ndarray:
    return np.asarray(x).astype(np.float32)


def product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x . w, FP32. Summed in FP64, so that no library's order of summing decides which way a later rounding goes."""
    left, w = np.asarray(x).astype(np.float64), np.asarray(w)
    if w.ndim != 2 or w.size <= SLAB_ELEMENTS:
        total: np.ndarray = left @ w.astype(np.float64)
        return total.astype(np.float32)
    found = np.empty((*left.shape[:-1], w.shape[1]), np.float32)
    for part in _parts(w.shape[1], w.shape[0]):
        found[..., part] = left @ w[:, part].astype(np.float64)
    return found


def rms_norm(x: np.ndarray, gamma: np.ndarray | float = 1.0, eps: float = 1e-6) -> np.ndarray:
    """x / sqrt(mean(x^2) + eps) * gamma over the last axis."""
    x = f32(x)
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * np.asarray(gamma, np.float32)


def int8_product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x . w^T of INT8 operands, exact, INT64. x: [rows, inner], w: [outputs, inner]."""
    total = np.zeros((len(x), len(w)), np.int64)
    for start in range(0, x.shape[1], _EXACT_COLUMNS):
        inner = slice(start, start + _EXACT_COLUMNS)
        left = f32(x[:, inner])
        for part in _parts(len(w), _EXACT_COLUMNS):
            total[:, part] += (left @ f32(w[part, inner]).T).astype(np.int64)
    return total


def _parts(outputs: int, inner: int) -> Iterator[slice]:
    """Outputs of a weight, as many at a time as are converted at once."""
    step = max(1, SLAB_ELEMENTS // inner)
    yield from (slice(first, first + step) for first in range(0, outputs, step))


def w8a8(x: np.ndarray, x_factor: np.ndarray, w: np.ndarray, w_factor: np.ndarray) -> np.ndarray:
    """Product of quantised operands turned back to FP32: x [rows, inner] with a factor for each row, w [outputs, inner]
    with one for each output."""
    return int8_product(x, w).astype(np.float32) * x_factor.reshape(-1, 1) * w_factor.reshape(1, -1)


def rope(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, *, inverse: bool = False) -> np.ndarray:
    """x with its last columns turned by each row's angles. Pairs are neighbouring columns (2i, 2i + 1).

    x: [..., columns]. cos, sin: [..., pairs], broadcast against x without its last axis.
    """
    pairs = cos.shape[-1]
    cos, sin = f32(cos), f32(sin) * np.float32(-1.0 if inverse else 1.0)
    turned = f32(x).copy()
    even, odd = turned[..., -2 * pairs :: 2].copy(), turned[..., 1 - 2 * pairs :: 2].copy()
    turned[..., -2 * pairs :: 2] = even * cos - odd * sin
    turned[..., 1 - 2 * pairs :: 2] = even * sin + odd * cos
    return turned


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-f32(x)))


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(f32(x) - f32(x).max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def swiglu(gate: np.ndarray, up: np.ndarray, limit: float) -> np.ndarray:
    """silu(gate) * up, with gate at most `limit` and up within +-limit if limit is positive."""
    if limit > 0:
        gate, up = np.minimum(gate, np.float32(limit)), np.clip(up, np.float32(-limit), np.float32(limit))
    return gate * sigmoid(gate) * up
