"""Matrix products on the cube's terms (pto-isa: include/pto/cpu/TMatmul.hpp).

A float product accumulates in FP32: for each output, each block of `k_split` along K is a chain
s = fma(a, b, s) by ascending k from +0, and chains are added in order. bfloat16 and float16 widen exactly.
INT8 products are exact, accumulated in INT32, which wraps.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pto_sim.numerics.element_types import BFLOAT16
from pto_sim.numerics.matmul_kernel import COLS, ROWS, multiply_lanes
from pto_sim.numerics.profiles import FAST

# 1024 products of INT8 stay below 2**24, so every partial sum is exact in FP32 in any order.
INT8_EXACT_K = 1024
INT8_LANE_ELEMENTS = 1 << 18  # of both operands that are FP32 at a time: all lanes of a launch would be gigabytes


class _Plan(NamedTuple):
    """Which operand is broadcast (x: [x_rows, K]) and which forms vectors (v: [K, v_columns]).

    swapped: v is A and the kernel computes the transposed product, which has the same bits because
    fma(a, b, s) == fma(b, a, s). x_k_major, v_k_major: K is the slow axis in the operand's storage.
    """

    swapped: bool
    x_rows: int
    v_columns: int
    x_k_major: bool
    v_k_major: bool


def _padded(extent: int, step: int) -> int:
    return -(-extent // step) * step


def _plan(m: int, n: int, k: int, a_trans: bool, b_trans: bool) -> _Plan:
    """The cheaper orientation: register blocks computed, plus elements that have to be transposed."""
    direct = _padded(m, ROWS) * _padded(n, COLS) * k / 32 + (n * k if b_trans else 0) / 2
    swapped = _padded(n, ROWS) * _padded(m, COLS) * k / 32 + (m * n + (0 if a_trans else m * k)) / 2
    if swapped < direct:
        return _Plan(True, n, m, not b_trans, a_trans)
    return _Plan(False, m, n, a_trans, not b_trans)


@lru_cache(maxsize=8)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="matmul")


def _flat(x: np.ndarray) -> np.ndarray:
    """1-D contiguous storage that the kernel reads: float32, or uint16 for bfloat16."""
    x = np.ascontiguousarray(x)
    if x.dtype == BFLOAT16:
        return x.view(np.uint16).reshape(-1)
    return x.reshape(-1) if x.dtype == np.float32 else x.astype(np.float32).reshape(-1)


def _extents(a: np.ndarray, b: np.ndarray, a_trans: bool, b_trans: bool) -> tuple[int, int, int]:
    m, k = (a.shape[2], a.shape[1]) if a_trans else (a.shape[1], a.shape[2])
    n, k_b = (b.shape[1], b.shape[2]) if b_trans else (b.shape[2], b.shape[1])
    if k != k_b:
        raise ValueError(f"matmul extents disagree: {a.shape[1:]} and {b.shape[1:]} have K {k} and {k_b}")
    return m, n, k


def _float_product(
    acc: np.ndarray | None,
    a: np.ndarray,
    b: np.ndarray,
    a_trans: bool,
    b_trans: bool,
    k_split: int | None,
    threads: int,
) -> np.ndarray:
    m, n, k = _extents(a, b, a_trans, b_trans)
    plan = _plan(m, n, k, a_trans, b_trans)
    lanes = max(a.shape[0], b.shape[0], 1 if acc is None else acc.shape[0])
    if acc is None:
        out = np.zeros((lanes, m, n), np.float32) if k == 0 else np.empty((lanes, m, n), np.float32)
    else:
        out = np.array(np.broadcast_to(acc, (lanes, m, n)), np.float32, order="C")
    x, v = (b, a) if plan.swapped else (a, b)
    x_lane = 0 if x.shape[0] == 1 else x[0].size
    v_lane = 0 if v.shape[0] == 1 else v[0].size
    sizes = (x_lane, v_lane, plan.x_rows, plan.v_columns, k, k_split or max(k, 1))
    flags = (plan.swapped, plan.x_k_major, plan.v_k_major, acc is not None)
    arguments = (_flat(x), _flat(v), out.reshape(-1), sizes, flags)
    workers = min(threads, lanes)
    if workers <= 1:
        multiply_lanes(*arguments, 0, lanes)
        return out
    bounds = [lanes * w // workers for w in range(workers + 1)]
    pool = _pool(workers)
    for future in [pool.submit(multiply_lanes, *arguments, lo, hi) for lo, hi in pairwise(bounds)]:
        future.result()
    return out


def _oriented(x: np.ndarray, trans: bool) -> np.ndarray:
    return np.swapaxes(x, -1, -2) if trans else x


def _int8_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact INT8 product in INT32, wrapping across K blocks. a: [L, M, K]; b: [L, K, N]; an L of 1 serves all lanes."""
    lanes = max(len(a), len(b))
    found = np.zeros((lanes, a.shape[1], b.shape[2]), np.int32)
    step = max(1, INT8_LANE_ELEMENTS // max(1, a[0].size + b[0].size))
    for first in range(0, lanes, step):
        part = slice(first, first + step)
        ours, theirs = (side if len(side) == 1 else side[part] for side in (a, b))
        for k0 in range(0, a.shape[-1], INT8_EXACT_K):
            left = ours[..., k0 : k0 + INT8_EXACT_K].astype(np.float32)
            right = theirs[..., k0 : k0 + INT8_EXACT_K, :].astype(np.float32)
            found[part] += np.matmul(left, right).astype(np.int32)
    return found


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    *,
    a_trans: bool = False,
    b_trans: bool = False,
    k_split: int | None = None,
    profile: str = "a2a3",
    threads: int = 1,
) -> np.ndarray:
    """a @ b. a: [L, M, K] ([L, K, M] if a_trans); b: [L, K, N] ([L, N, K] if b_trans); result [L, M, N].

    FP32, FP16 or BF16 operands give FP32, INT8 gives INT32. k_split: length of one chain (None: the whole of K).
    threads: how many lanes run at once; it never changes a bit. Profile 'fast' uses BLAS, in any order.
    Raises ValueError if the K extents differ.
    """
    if a.dtype == np.int8:
        _extents(a, b, a_trans, b_trans)
        return _int8_product(_oriented(a, a_trans), _oriented(b, b_trans))
    if profile == FAST:
        _extents(a, b, a_trans, b_trans)
        return np.matmul(_oriented(a, a_trans).astype(np.float32), _oriented(b, b_trans).astype(np.float32))
    return _float_product(None, a, b, a_trans, b_trans, k_split, threads)


def matmul_acc(
    acc: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    *,
    a_trans: bool = False,
    b_trans: bool = False,
    k_split: int | None = None,
    profile: str = "a2a3",
    threads: int = 1,
) -> np.ndarray:
    """acc + chain 0 + chain 1 + ..., added in that order. acc: [L, M, N] FP32 or INT32; the rest as `matmul`."""
    if a.dtype == np.int8 or profile == FAST:
        product = matmul(a, b, a_trans=a_trans, b_trans=b_trans, profile=profile)
        return np.add(acc, product)
    return _float_product(acc, a, b, a_trans, b_trans, k_split, threads)


def matmul_bias(
    bias: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    *,
    a_trans: bool = False,
    b_trans: bool = False,
    k_split: int | None = None,
    profile: str = "a2a3",
    threads: int = 1,
) -> np.ndarray:
    """(chain 0 + bias) + chain 1 + ...: the first K block brings the bias in. bias: [L, 1, N]; the rest as `matmul`.

    The sum of two numbers does not depend on their order, so this is `matmul_acc` onto the repeated bias
    (pypto: docs/en/dev/passes/15-auto_tile_matmul_l0.md, tile.matmul_bias; pto-isa: TMatmul.hpp, TMATMUL_BIAS).
    """
    m, n, _ = _extents(a, b, a_trans, b_trans)
    acc = np.array(np.broadcast_to(bias, (len(bias), m, n)))
    return matmul_acc(acc, a, b, a_trans=a_trans, b_trans=b_trans, k_split=k_split, profile=profile, threads=threads)
