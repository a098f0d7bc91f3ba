"""Exact FP32-chain matmul against OpenBLAS sgemm, one thread each, in one run.

Operands are BF16 or FP32 tiles; BLAS gets them already widened, the exact kernel packs and widens inside its time.
Prints a row per shape: GFLOP/s of both and their ratio.
"""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import time
from collections.abc import Callable

import ml_dtypes
import numpy as np

from pto_sim.numerics.l0_tiling import k_split
from pto_sim.numerics.matmul import matmul

CASES = (
    # (name, lanes, M, K, N, b_trans, BF16 operands)
    ("qk", 32, 32, 512, 128, True, True),
    ("qk f32", 32, 32, 512, 128, True, False),
    ("pv", 32, 32, 128, 512, False, True),
    ("pv f32", 32, 32, 128, 512, False, False),
    ("square", 32, 128, 128, 128, False, True),
    ("square f32", 32, 128, 128, 128, False, False),
)


def best_seconds(call: Callable[[], object], repeats: int = 15) -> float:
    """Shortest of several runs."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print(f"{'case':12s} {'L x M x K x N':>20s} {'k_split':>8s} {'exact':>8s} {'BLAS':>8s} {'ratio':>6s}  GFLOP/s")
    for name, lanes, m, k, n, b_trans, narrow in CASES:
        dtype = ml_dtypes.bfloat16 if narrow else np.float32
        a = rng.standard_normal((lanes, m, k), np.float32).astype(dtype)
        b = rng.standard_normal((lanes, n, k) if b_trans else (lanes, k, n), np.float32).astype(dtype)
        split = k_split(m, n, k, "BF16" if narrow else "FP32")
        wide_a, wide_b = a.astype(np.float32), b.astype(np.float32)
        if b_trans:
            wide_b = np.swapaxes(wide_b, -1, -2)
        exact = best_seconds(lambda a=a, b=b, t=b_trans, s=split: matmul(a, b, b_trans=t, k_split=s))
        blas = best_seconds(lambda a=wide_a, b=wide_b: np.matmul(a, b))
        gflop = 2e-9 * lanes * m * k * n
        shape = f"{lanes} x {m} x {k} x {n}"
        print(f"{name:12s} {shape:>20s} {split:8d} {gflop / exact:8.1f} {gflop / blas:8.1f} {blas / exact:6.2f}")


if __name__ == "__main__":
    main()
