"""Atomic addition into memory: one rounding in the memory's own type for each addition.

pto-isa: include/pto/cpu/TStore.hpp, atomic.hpp. The hardware's order of concurrent additions is not specified; ours
is the order of the blocks.
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.elementwise import add


def atomic_add(memory: np.ndarray, value: np.ndarray) -> np.ndarray:
    """memory + value in memory's element type. Both have one dtype and shapes that broadcast."""
    return add(memory, value)
