"""The axes that a slice drops from its result.

pypto: src/ir/op/type_inference.cpp, ParseSliceDropDims; tensor_ops/memory.cpp and tile_ops/transform.cpp.
"""

from __future__ import annotations

from typing import Any

from pto_sim.engine.run import Run
from pto_sim.engine.tile import Tile
from pto_sim.program.errors import KernelError


def check_dropped(run: Run, x: Any, sizes: tuple[int, ...], dropped: tuple[int, ...]) -> None:
    """Raises KernelError (PTO202) for drop_dims= that a slice of x of shape `sizes` cannot drop."""
    rule = ""
    if len(set(dropped)) < len(dropped) or any(not 0 <= axis < len(sizes) for axis in dropped):
        rule, hint = "drop_dims names axes of the slice, each once", "count axes from 0"
    elif len(dropped) == len(sizes) and not (isinstance(x, Tile) and x.explicit):  # of a tile [1, 1] is left
        rule, hint = "drop_dims leaves an axis", "pl.read gives one element"
    elif any(sizes[axis] != 1 for axis in dropped):
        rule, hint = "drop_dims drops axes of extent 1", "slice the axis to one element"
    if rule:
        raise KernelError(
            "PTO202", rule, site=run.site(), values=f"drop_dims {list(dropped)}, shape {list(sizes)}", hint=hint
        )
