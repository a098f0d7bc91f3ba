"""One thread for every numeric library of this process. Call `pin()` before NumPy, torch or JAX is imported."""

from __future__ import annotations

import os
import sys

LIBRARIES = ("numpy", "torch", "jax")
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "TRITON_INTERPRET": "1",
}


def pin() -> None:
    """Sets the thread counts; raises RuntimeError when a library has already read its own."""
    loaded = [name for name in LIBRARIES if name in sys.modules]
    if loaded and any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        raise RuntimeError(f"{', '.join(loaded)} imported before the thread counts were set; call pin() first")
    os.environ.update(ENVIRONMENT)


def blas_threads() -> dict[str, int]:
    """Threads of each loaded BLAS or OpenMP library, as the library itself says; {} without threadpoolctl."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return {}
    return {
        f"{row['internal_api']} {row.get('version') or ''}".strip(): row["num_threads"] for row in threadpool_info()
    }
