"""The bits of a tile read as another element type (pypto: include/pypto/ir/reinterpret_view_semantics.h).

A tensor in GM is loaded whole first: the compiler knows such a view of tiles only, and none in orchestration, where the
runtime's tensors cannot change their element type (pypto: src/codegen/tensor_op_codegen.cpp, tensor.reinterpret_view;
src/ir/transforms/op_conversion_registry.cpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pto_sim.engine.storage import Tensor, element_count
from pto_sim.engine.tile import Tile
from pto_sim.program.dtypes import DataType
from pto_sim.program.element_support import unsupported_element
from pto_sim.program.errors import KernelError
from pto_sim.program.model import ValueType

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Shape = tuple[int, ...]
_NOT_ADDRESSED = frozenset({"BOOL", "INDEX"})


def reinterpreted(run: Run, value: Tensor | Tile, dtype: DataType, shape: Shape | None) -> Tile:
    """The same bits as another element type: by itself the contiguous axis changes, else `shape` has as many bytes.

    Raises KernelError: PTO204 in orchestration, PTO202 if the bytes do not fit the shape.
    """
    core = run.task_core("pl.reinterpret_view")
    if dtype.numpy is None:
        raise unsupported_element(dtype, run.site(), "an on-chip buffer")
    if dtype is value.dtype or dtype.name in _NOT_ADDRESSED:
        raise _error(
            run, "reinterpret_view changes the element type, to one that fills whole bytes", value, None, dtype,
            "pl.reshape(x, shape) for another shape, pl.cast(x, target_type=t) for other values",
        )  # fmt: skip
    tile = run.memory.materialize(value) if isinstance(value, Tensor) else value
    own = _scaled(tile, tile.shape, dtype)
    wanted = shape or own
    if wanted is None or element_count(wanted) * dtype.nbytes != element_count(tile.shape) * tile.dtype.nbytes:
        raise _error(
            run, "reinterpret_view keeps the number of bytes", value, shape, dtype, "give the shape that has them"
        )
    valid = tile.valid
    if valid is not None:
        valid = _scaled(tile, valid, dtype)
        if valid is None or wanted != own:
            raise _error(
                run, "a partly valid tile keeps its axes under another type", value, shape, dtype,
                f"leave shape= out, and end the valid part {list(tile.valid or ())} at a whole element",
            )  # fmt: skip
    data = np.ascontiguousarray(tile.resolve())
    out = data.reshape(len(data), -1).view(dtype.numpy).reshape(len(data), *wanted)
    type_ = ValueType(wanted, dtype.name, "tile")
    view = core.make_tile(out, type_, dtype, root=tile.root, valid=valid)
    view.explicit = tile.explicit
    core.record(run.memory.signature("reshape", (tile.type,), type_, ()), view.number, (tile.number,))
    return view


def _scaled(tile: Tile, extents: Shape, dtype: DataType) -> Shape | None:
    """Extents with the contiguous axis counted in `dtype`, None if it ends inside an element.

    That axis is the last one; a tile [M, 1] that the author made is stored column by column.
    """
    axis = len(extents) - (2 if tile.explicit and len(extents) > 1 and tile.shape[-1] == 1 else 1)
    count, rest = divmod(extents[axis] * tile.dtype.nbytes, dtype.nbytes)
    return None if rest else (*extents[:axis], count, *extents[axis + 1 :])


def _error(
    run: Run, rule: str, value: Tensor | Tile, shape: Shape | None, dtype: DataType, hint: str
) -> KernelError:  # fmt: skip
    target = dtype.name if shape is None else f"{list(shape)} {dtype.name}"
    return KernelError("PTO202", rule, site=run.site(), values=f"{value!r} as {target}", hint=hint)
