"""Scalars that a launch hands to its task, as the 64 bits of their slots.

The compiler passes an integer in its C type, INT64 for what it counts with, and a float as the bits of FP32 (pypto:
src/codegen/orchestration/orchestration_codegen.cpp, EncodeScalarVar). What the type does not fill is 0 (simpler:
src/common/task_interface/data_type.h, to_u64).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.program.dtypes import DTYPES
from pto_sim.program.model import ScalarArg


def scalar_argument(name: str, declared: str, value: Any) -> ScalarArg:
    """The argument for a number. declared: the pl name of its type, '' where nothing declares one."""
    kind = DTYPES[declared].kind if declared in DTYPES else ""
    if isinstance(value, (bool, np.bool_)) or kind == "bool":
        return ScalarArg(name, "BOOL", int(bool(value)))
    if isinstance(value, (float, np.floating)) or kind == "float":
        return ScalarArg(name, "FP32", int(np.float32(value).view(np.uint32)))
    dtype = declared if kind in ("int", "uint") and declared != "INDEX" else "INT64"
    return ScalarArg(name, dtype, int(value) % (1 << 8 * DTYPES[dtype].nbytes))
