"""The kernel language: `import pto_sim.language as pl`.

The names are those of `pypto.language`; a kernel that uses them compiles there after exchanging the import.
"""

from __future__ import annotations

from typing import Any

from pto_sim.engine.launches import SplitMode
from pto_sim.frontend.annotations import InOut, Out, Scalar, Tensor
from pto_sim.language import distributed, tensor, tile
from pto_sim.language.decorators import dynamic, jit
from pto_sim.language.dtypes import *  # noqa: F403
from pto_sim.language.names import unknown_name
from pto_sim.language.operators import *  # noqa: F403
from pto_sim.language.statements import (
    Level,
    at,
    cross_core_slot,
    manual_scope,
    parallel,
    pipeline,
    range,
    scope,
    split,
    spmd,
    unroll,
)
from pto_sim.language.storage import (
    arange,
    assemble,
    const,
    create_tensor,
    create_tile,
    fillpad,
    full,
    load,
    max,
    min,
    read,
    reshape,
    set_validshape,
    slice,
    store,
    write,
)

__all__ = [
    "InOut", "Level", "Out", "Scalar", "SplitMode", "Tensor", "arange", "assemble", "at", "const", "create_tensor",
    "create_tile", "cross_core_slot", "distributed", "dynamic", "fillpad", "full", "jit", "load", "manual_scope",
    "max", "min", "parallel", "pipeline", "range", "read", "reshape", "scope", "set_validshape", "slice", "split", "spmd", "store",
    "tensor", "tile", "unroll", "write",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise unknown_name(name, globals())
