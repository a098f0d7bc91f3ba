"""Matrix products."""

from __future__ import annotations

import numpy as np


def matmul(a, b, *, a_trans=False, b_trans=False, k_split=None, profile="a2a3", threads=1):
    """a @ b. a: [L, M, K]; b: [L, K, N] -> FP32 or INT32 [L, M, N]."""
    a = np.swapaxes(a, -1, -2) if a_trans else a
    b = np.swapaxes(b, -1, -2) if b_trans else b
    if a.dtype == np.int8:
        return np.matmul(a.astype(np.int32), b.astype(np.int32))
    return np.matmul(a.astype(np.float32), b.astype(np.float32))


def matmul_acc(acc, a, b, *, a_trans=False, b_trans=False, k_split=None, profile="a2a3", threads=1):
    """acc + a @ b."""
    return acc + matmul(a, b, a_trans=a_trans, b_trans=b_trans, k_split=k_split, profile=profile)
