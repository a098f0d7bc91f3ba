"""Buffers, views, loads and stores, and scalars."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.placement import place
from pto_sim.engine.run import Run, require_run
from pto_sim.engine.scalar_operands import check_written_number
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.engine.tile_scalars import read_element, write_element
from pto_sim.engine.valid_boxes import assemble_tile, narrowed
from pto_sim.engine.windows import Window
from pto_sim.language.dropped_axes import check_dropped
from pto_sim.numerics.l0_tiling import L0A_BYTES, L0B_BYTES
from pto_sim.program.dtypes import DataType
from pto_sim.program.element_support import unsupported_element
from pto_sim.program.errors import KernelError, UnsupportedError

_L0_BYTES = MappingProxyType({"left": L0A_BYTES, "right": L0B_BYTES})


def _extents(run: Run, what: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, (int, LaneScalar)):
        shape = [shape]
    extents = tuple(int(extent.__index__()) for extent in shape)
    if not extents or builtins.min(extents) < 1:
        raise KernelError(
            "PTO206",
            f"{what} needs positive extents",
            site=run.site(),
            values=f"shape {list(extents)}",
            hint="check the constants that the shape is made of",
        )
    return extents


def _dtype(run: Run, what: str, dtype: Any) -> DataType:
    if not isinstance(dtype, DataType):
        raise KernelError(
            "PTO206", f"{what} needs an element type", site=run.site(), values=f"got {dtype!r}", hint="dtype=pl.FP32"
        )
    if dtype.numpy is None:
        raise unsupported_element(dtype, run.site(), what)
    return dtype


def create_tensor(
    shape: Sequence[Any], dtype: DataType, layout: Any = None, manual_dep: bool = False, init_value: Any = None
) -> Any:
    """An unwritten GM buffer; inside a task, an on-chip scratch tile."""
    run = require_run("pl.create_tensor")
    if layout is not None and layout != "nd":
        raise UnsupportedError(f"pl.create_tensor(layout={layout!r})", site=run.site(), hint="leave it out: ND")
    return run.memory.create(
        _extents(run, "pl.create_tensor", shape), _dtype(run, "pl.create_tensor", dtype), manual_dep, init_value
    )


def create_tile(
    shape: Sequence[Any],
    dtype: DataType,
    target_memory: str = "vec",
    transpose: Any = None,
    *,
    flat_layout: Any = None,
) -> Tile:
    """An unwritten on-chip buffer. target_memory and layouts change no value; lowering places it by its uses."""
    run = require_run("pl.create_tile")
    extents, element = _extents(run, "pl.create_tile", shape), _dtype(run, "pl.create_tile", dtype)
    run.task_core("pl.create_tile").check_capacity(extents, element, target_memory)
    tile = run.memory.create_tile(extents, element)
    tile.explicit = True
    tile.space = target_memory if target_memory != "vec" else ""
    return tile


def create_l1(shape: Sequence[Any], dtype: DataType, transpose: bool = False) -> Tile:
    """An unwritten buffer in L1 (Mat)."""
    tile = create_tile(shape, dtype, "mat")
    tile.explicit = False
    return tile


def full(shape: Sequence[Any], dtype: DataType, value: Any) -> Tile:
    """A tile of one constant."""
    run = require_run("pl.full")
    extents = _extents(run, "pl.full", shape)
    name = _dtype(run, "pl.full", dtype).name
    return run.compute.apply("full", (), {"shape": extents, "dtype": name, "value": _number(run, value)})


def arange(start: Any, shape: Sequence[Any], dtype: DataType | None = None, descending: bool = False) -> Tile:
    """start, start + 1, ... along one row (start - 1, ... if descending)."""
    run = require_run("pl.arange")
    name = "INT32" if dtype is None else _dtype(run, "pl.arange", dtype).name
    attrs = {
        "start": _number(run, start),
        "shape": _extents(run, "pl.arange", shape),
        "dtype": name,
        "descending": bool(descending),
    }
    return run.compute.apply("arange", (), attrs)


def _number(run: Run, value: Any) -> Any:
    if isinstance(value, LaneScalar):
        values = value.resolve()
        if (values == values[0]).all():
            return values[0].item()
        raise UnsupportedError(
            "a constant that differs between blocks",
            site=run.site(),
            hint="make the tile with a fixed value and add the scalar to it",
        )
    return value.item() if isinstance(value, np.generic) else value


def const(value: Any, dtype: DataType) -> Any:
    """A number of a given type."""
    run = require_run("pl.const")
    if isinstance(value, LaneScalar):
        return value
    return float(value) if _dtype(run, "pl.const", dtype).kind == "float" else int(value)


def reshape(x: Any, shape: Sequence[Any]) -> Any:
    """The same elements under another shape, without a copy."""
    run = require_run("pl.reshape")
    return run.memory.reshape(_value(run, "pl.reshape", x), _extents(run, "pl.reshape", shape))


def _value(run: Run, what: str, x: Any) -> Any:
    if not isinstance(x, (Tensor, Tile)):
        raise KernelError(
            "PTO202",
            f"{what} takes a tensor or a tile",
            site=run.site(),
            values=f"got {type(x).__name__}",
            hint="check the operand",
        )
    return x


def slice(
    x: Any,
    shape: Sequence[Any],
    offset: Sequence[Any],
    valid_shape: Sequence[Any] | None = None,
    drop_dims: Sequence[int] | None = None,
    pad_value: Any = None,
    clamp: bool = False,
) -> Any:
    """A window: a view in orchestration and of a tile, a load of a tensor inside a task."""
    run = require_run("pl.slice")
    _value(run, "pl.slice", x)
    sizes = _extents(run, "pl.slice", shape)
    dropped = tuple(drop_dims or ())
    window = Window(tuple(offset), sizes, dropped)
    _same_rank(run, "pl.slice", x, sizes, window.offsets)
    check_dropped(run, x, sizes, dropped)
    valid = None if valid_shape is None else _valid(run, valid_shape, sizes)
    if clamp:
        valid = _clamped(run, x.shape, window.offsets, valid or sizes)
    if isinstance(x, Tile):
        part = run.memory.tile_window(x, window)
        if valid is not None and valid != sizes:
            kept = _kept(valid, dropped)
            part = run.memory.with_valid(part, (*(1,) * (part.ndim - len(kept)), *kept))
        return part if pad_value is None else run.memory.filled(part, pad_number(run, pad_value))
    if run.core is None:
        view = run.memory.slice_view(x, window)
        if valid is not None and valid != sizes:
            view.valid = _kept(narrowed(x.valid or x.shape, window.offsets, sizes, valid), dropped)
        return view
    tile = run.transfers.load(x, window.offsets, sizes, window.result_shape(), valid)
    if dropped and tile.valid is not None:
        tile.valid = _kept(tile.valid, dropped)
    return tile if pad_value is None else run.memory.filled(tile, pad_number(run, pad_value))


def _kept(valid: tuple[int, ...], dropped: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for axis, extent in enumerate(valid) if axis not in dropped)


def _clamped(run: Run, shape: tuple[int, ...], offsets: Sequence[Any], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The valid shape of a window that may leave its source: what is inside."""
    starts = [int(offset.__index__()) for offset in offsets]
    return tuple(
        builtins.max(0, builtins.min(size, extent - start))
        for size, extent, start in zip(sizes, shape, starts, strict=True)
    )


def _same_rank(run: Run, what: str, x: Any, sizes: Sequence[int], offsets: Sequence[Any]) -> None:
    if len(sizes) != x.ndim or len(offsets) != x.ndim:
        raise KernelError(
            "PTO206",
            f"{what} needs one extent and one offset for each axis",
            site=run.site(),
            values=f"tensor {list(x.shape)}, shape {list(sizes)}, {len(offsets)} offsets",
            hint="give all axes",
        )


def _valid(run: Run, valid_shape: Sequence[Any], sizes: tuple[int, ...]) -> tuple[int, ...]:
    valid = tuple(int(extent.__index__()) for extent in valid_shape)
    if len(valid) != len(sizes) or any(v < 0 or v > s for v, s in zip(valid, sizes, strict=False)):
        raise KernelError(
            "PTO202",
            "a valid shape only narrows",
            site=run.site(),
            values=f"valid {list(valid)}, shape {list(sizes)}",
            hint="use pl.min(rest, extent)",
        )
    return valid


def load(
    t: Any,
    offsets: Sequence[Any],
    shapes: Sequence[Any],
    valid_shape: Sequence[Any] | None = None,
    target_memory: str = "vec",
    clamp: bool = False,
) -> Tile:
    """A window of a tensor as a tile; what lies outside its valid shape holds zeros."""
    run = require_run("pl.load")
    if target_memory not in ("vec", "mat"):
        raise KernelError(
            "PTO206",
            "a load from GM reaches UB (Vec) or L1 (Mat)",
            site=run.site(),
            values=f"target_memory {target_memory!r}",
            hint="load to Mat and pl.move it on",
        )
    sizes = _extents(run, "pl.load", shapes)
    _same_rank(run, "pl.load", t, sizes, offsets)
    valid = None if valid_shape is None else _valid(run, valid_shape, sizes)
    if clamp:
        valid = _clamped(run, t.shape, offsets, valid or sizes)
    run.task_core("pl.load").check_capacity(sizes, t.dtype, target_memory)
    tile = run.transfers.load(t, tuple(offsets), sizes, sizes, valid)
    tile.explicit, tile.space = True, target_memory
    return tile


def store(t: Tile, offsets: Sequence[Any], out: Tensor, shapes: Any = None, *, atomic: Any = None) -> Tensor:
    """Write a tile's valid region to a tensor; returns the tensor."""
    return assemble(out, t, offsets, atomic=atomic)


def assemble(dst: Any, src: Any, offset: Sequence[Any], *, atomic: Any = None) -> Any:
    """Write a tile into a tensor or a tile at `offset`; returns the destination.

    atomic=pl.AtomicType.Add adds into GM instead, block after block.
    """
    run = require_run("pl.assemble")
    add = atomic not in (None, "none")
    if add:
        run.task_core("an atomic store")
    if run.core is None and isinstance(src, Tensor) and isinstance(dst, Tensor) and not add:
        place(run, dst, src, tuple(offset))
        return dst
    source = run.memory.materialize(src) if isinstance(src, Tensor) else src
    while source.ndim > dst.ndim and source.shape[0] == 1:
        source = run.memory.reshape(source, source.shape[1:])  # a product with unit batch axes
    sizes = (1,) * (dst.ndim - source.ndim) + source.shape
    _same_rank(run, "pl.assemble", dst, sizes, tuple(offset))
    if isinstance(dst, Tile):
        if add:
            raise KernelError(
                "PTO206", "atomic= adds into GM only", site=run.site(), values=f"destination {dst!r}", hint="use pl.add"
            )
        assemble_tile(run, dst, source, Window(tuple(offset), sizes, ()))
    else:
        run.transfers.store(dst, tuple(offset), sizes, source, atomic=add)
    return dst


def move(t: Tile, target_memory: str, blayout: Any = None, slayout: Any = None) -> Tile:
    """A tile in another memory; the same values."""
    run = require_run("pl.move")
    moved = run.memory.reshape(t, t.shape) if t.valid is None else run.memory.with_valid(t, t.valid)
    assert isinstance(moved, Tile)
    moved.space = target_memory
    capacity = _L0_BYTES.get(target_memory)
    nbytes = math.prod(t.shape) * t.dtype.nbytes
    if capacity is not None and nbytes > capacity:
        raise KernelError(
            "PTO301",
            f"a tile does not fit {target_memory} (L0)",
            site=run.site(),
            values=f"{list(t.shape)} {t.dtype.name} = {nbytes} bytes, it holds {capacity}",
            hint="leave it in Mat and give it to pl.matmul, which cuts it; or move a smaller tile",
        )
    return moved


def gather_row(
    dst: Tile,
    src: Tensor,
    dst_off: Sequence[Any],
    src_off: Sequence[Any],
    shapes: Sequence[Any],
    transpose: bool = False,
    *,
    valid_shape: Any = None,
) -> Tile:
    """Copy a GM window into a window of a tile, in place; transpose exchanges its two axes on the way."""
    run = require_run("pl.gather_row")
    sizes = _extents(run, "pl.gather_row", shapes)
    if valid_shape is not None:
        sizes = _valid(run, valid_shape, sizes)  # only the valid part is read and written
    part = run.transfers.load(src, tuple(src_off), sizes, sizes, None)
    if transpose:
        part = run.compute.apply("transpose", (part,), {"axis1": 0, "axis2": 1})
    window = (1,) * (dst.ndim - part.ndim) + part.shape
    run.memory.update_tile(dst, Window(tuple(dst_off), window, ()), part)
    return dst


def read(src: Any, idx: Any) -> Any:
    """One element as a scalar."""
    run = require_run("pl.read")
    offsets = tuple(idx) if isinstance(idx, (list, tuple)) else (idx,)
    _same_rank(run, "pl.read", src, src.shape, offsets)
    if isinstance(src, Tile):
        return read_element(src, offsets)
    return run.transfers.read(src, offsets)


def write(dst: Any, idx: Any, s: Any) -> Any:
    """Store one scalar; returns the tensor or tile."""
    run = require_run("pl.write")
    offsets = tuple(idx) if isinstance(idx, (list, tuple)) else (idx,)
    _same_rank(run, "pl.write", dst, dst.shape, offsets)
    check_written_number(run, s, dst.dtype)
    if isinstance(dst, Tile):
        write_element(dst, offsets, s)
    else:
        run.transfers.write(dst, offsets, s)
    return dst


def set_validshape(x: Tile, rows: Any, cols: Any) -> Tile:
    """Declare which rows and columns of a tile are valid.

    Raises KernelError (PTO202) for a slice of a tile, which has its valid shape in its type (pypto:
    src/backend/common/pto_ops_datamove.cpp, tile.set_validshape; a reshape of a tile in memory is no view there).
    """
    run = require_run("pl.set_validshape")
    tile = run.memory.materialize(x) if isinstance(x, Tensor) else x
    if tile.is_slice:
        raise KernelError(
            "PTO202",
            "pl.set_validshape cannot narrow a slice of a tile",
            site=run.site(),
            values=f"a slice of shape {list(tile.shape)}",
            hint="give the slice valid_shape=, or narrow the tile before it is sliced",
        )
    return run.memory.with_valid(tile, _valid(run, (rows, cols), tile.shape))


def pad_number(run: Run, pad_value: Any) -> float:
    """The number that a pad value stands for. Raises KernelError (PTO205) for anything but 0 and the infinities."""
    named = {"zero": 0.0, "max": float("inf"), "min": float("-inf")}
    value = named.get(pad_value, pad_value) if isinstance(pad_value, str) else pad_value
    if value not in (0, float("inf"), float("-inf")):
        raise KernelError(
            "PTO205",
            "fillpad fills with 0, inf or -inf",
            site=run.site(),
            values=f"got {pad_value!r}",
            hint="use pl.PadValue.zero, max or min",
        )
    return float(value)
