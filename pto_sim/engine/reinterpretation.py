"""The bits of a tile or a tensor read as another element type (pypto: src/ir/op/reinterpret_view_semantics)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pto_sim.engine.storage import StorageAlias, Tensor, element_count, row_major
from pto_sim.engine.tile import Tile
from pto_sim.program.dtypes import DataType
from pto_sim.program.element_support import unsupported_element
from pto_sim.program.errors import KernelError
from pto_sim.program.model import ValueType

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Shape = tuple[int, ...]


def reinterpreted(run: Run, value: Tensor | Tile, dtype: DataType, shape: Shape | None) -> Tensor | Tile:
    """The same bits as another element type. Raises KernelError (PTO202) if the bytes do not fit the shape."""
    if dtype.numpy is None:
        raise unsupported_element(dtype, run.site(), "an on-chip buffer")
    last = value.shape[-1] * value.dtype.nbytes
    shape = shape or (*value.shape[:-1], last // dtype.nbytes)
    if element_count(shape) * dtype.nbytes != element_count(value.shape) * value.dtype.nbytes:
        raise KernelError(
            "PTO202",
            "reinterpret_view keeps the number of bytes",
            site=run.site(),
            values=f"{value!r} as {list(shape)} {dtype.name}",
            hint="give the shape that has as many bytes",
        )
    if isinstance(value, Tensor):
        return _tensor(run, value, dtype, shape)
    core = run.task_core("pl.reinterpret_view")
    data = np.ascontiguousarray(value.resolve())
    out = data.reshape(len(data), -1).view(dtype.numpy).reshape(len(data), *shape)
    type_ = ValueType(shape, dtype.name, "tile")
    view = core.make_tile(out, type_, dtype, root=value.root)
    view.explicit = value.explicit
    core.record(run.memory.signature("reshape", (value.type,), type_, ()), view.number, (value.number,))
    return view


def _tensor(run: Run, tensor: Tensor, dtype: DataType, shape: Shape) -> Tensor:
    if dtype.nbytes == tensor.dtype.nbytes:
        packed = run.memory.reshape(tensor, shape)
        assert isinstance(packed, Tensor)
        strides, offset, alias, valid = packed.strides, packed.offset, packed.alias, packed.valid
    else:
        strides, offset, alias = row_major(shape), _offset(run, tensor, dtype), -1
        valid = None if tensor.valid is None else _valid(run, tensor, dtype, shape)
    view = Tensor(run, StorageAlias(tensor.storage, dtype), shape, strides, offset, tensor.name)
    view.alias, view.valid = alias, valid
    if run.core is not None:
        view.argument = tensor.argument
    return view


def _offset(run: Run, tensor: Tensor, dtype: DataType) -> int:
    """Where a packed tensor starts, in elements of another width. Raises KernelError (PTO202)."""
    tensor.check_alive()
    start = tensor.offset * tensor.dtype.nbytes
    if tensor.strides != row_major(tensor.shape) or start % dtype.nbytes:
        raise KernelError(
            "PTO202",
            "a tensor read as a type of another width is packed and starts at one of its elements",
            site=run.site(),
            values=f"shape {list(tensor.shape)}, strides {list(tensor.strides)}, starts at byte {start}; "
            f"{dtype.name} has {dtype.nbytes} bytes",
            hint="reinterpret the whole tensor, then slice it",
        )
    return start // dtype.nbytes


def _valid(run: Run, tensor: Tensor, dtype: DataType, shape: Shape) -> Shape:
    """The valid shape of a partly valid tensor in elements of another width: its last axis is scaled.

    Raises KernelError (PTO202) if that is no whole number of elements, or the shape has other axes.
    """
    assert tensor.valid is not None
    size = tensor.valid[-1] * tensor.dtype.nbytes
    if shape[:-1] != tensor.shape[:-1] or size % dtype.nbytes:
        raise KernelError(
            "PTO202",
            "a partly valid tensor keeps its axes under another type",
            site=run.site(),
            values=f"{list(tensor.shape)}, valid {list(tensor.valid)}, as {list(shape)} {dtype.name}",
            hint="leave shape= out, and end the valid part at a whole element",
        )
    return (*tensor.valid[:-1], size // dtype.nbytes)
