"""What the fixpipe does to an accumulator on its way out: rectify, then narrow.

pto-isa: include/pto/cpu/common.hpp (ConvertStoreValue without a quantisation mode), TStore.hpp.
"""

from __future__ import annotations

import numpy as np

from pto_sim.numerics.casts import convert
from pto_sim.numerics.fused import rectified


def drained(acc: np.ndarray, target: str, *, relu: bool = False) -> np.ndarray:
    """An accumulator (FP32 or INT32) in the element type `target`: a C cast, floats to nearest even; integers wrap.

    relu: the fused rectifier x > 0 ? x : 0 first, so NaN and -0 become +0; no operator of the language asks.
    """
    return convert(rectified(acc) if relu else acc, target, "rint", "cpu-sim")
