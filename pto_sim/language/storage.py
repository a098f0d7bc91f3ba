"""Buffers, views, loads and stores, and scalars."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.run import Run, require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.engine.windows import Window
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError, UnsupportedError


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
    return dtype


def create_tensor(
    shape: Sequence[Any], dtype: DataType, layout: Any = None, manual_dep: bool = False, init_value: Any = None
) -> Any:
    """An unwritten GM buffer; inside a task, an on-chip scratch tile."""
    run = require_run("pl.create_tensor")
    if layout is not None:
        raise UnsupportedError("pl.create_tensor(layout=)", site=run.site(), hint="leave it out: ND")
    return run.memory.create(
        _extents(run, "pl.create_tensor", shape), _dtype(run, "pl.create_tensor", dtype), manual_dep, init_value
    )


def create_tile(shape: Sequence[Any], dtype: DataType) -> Tile:
    """An unwritten on-chip buffer."""
    run = require_run("pl.create_tile")
    return run.memory.create_tile(_extents(run, "pl.create_tile", shape), _dtype(run, "pl.create_tile", dtype))


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
    if clamp or pad_value is not None:
        raise UnsupportedError("pl.slice(clamp=, pad_value=)", site=run.site(), hint="narrow it with valid_shape=")
    sizes = _extents(run, "pl.slice", shape)
    dropped = tuple(drop_dims or ())
    window = Window(tuple(offset), sizes, dropped)
    _same_rank(run, "pl.slice", x, sizes, window.offsets)
    if any(sizes[axis] != 1 for axis in dropped):
        raise KernelError(
            "PTO202",
            "drop_dims drops axes of extent 1",
            site=run.site(),
            values=f"shape {list(sizes)}",
            hint="slice the axis to one element",
        )
    if isinstance(x, Tile):
        if valid_shape is not None:
            raise UnsupportedError("valid_shape= on a tile's slice", site=run.site(), hint="narrow the load")
        return run.memory.tile_window(x, window)
    if run.core is None:
        return run.memory.view(x, window)
    valid = None if valid_shape is None else _valid(run, valid_shape, sizes)
    return run.transfers.load(x, window.offsets, sizes, window.result_shape(), valid)


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


def load(t: Any, offsets: Sequence[Any], shapes: Sequence[Any], valid_shape: Sequence[Any] | None = None) -> Tile:
    """A window of a tensor as a tile; what lies outside its valid shape holds zeros."""
    run = require_run("pl.load")
    sizes = _extents(run, "pl.load", shapes)
    _same_rank(run, "pl.load", t, sizes, offsets)
    valid = None if valid_shape is None else _valid(run, valid_shape, sizes)
    return run.transfers.load(t, tuple(offsets), sizes, sizes, valid)


def store(t: Tile, offsets: Sequence[Any], out: Tensor, shapes: Any = None, *, atomic: Any = None) -> Tensor:
    """Write a tile's valid region to a tensor; returns the tensor."""
    return assemble(out, t, offsets, atomic=atomic)


def assemble(dst: Any, src: Any, offset: Sequence[Any], *, atomic: Any = None) -> Any:
    """Write a tile into a tensor or a tile at `offset`; returns the destination."""
    run = require_run("pl.assemble")
    if atomic is not None:
        raise UnsupportedError("atomic=", site=run.site(), hint="give each block a part of its own and add them after")
    source = run.memory.materialize(src) if isinstance(src, Tensor) else src
    sizes = (1,) * (dst.ndim - source.ndim) + source.shape
    _same_rank(run, "pl.assemble", dst, sizes, tuple(offset))
    if isinstance(dst, Tile):
        run.memory.update_tile(dst, Window(tuple(offset), sizes, ()), source)
    else:
        run.transfers.store(dst, tuple(offset), sizes, source)
    return dst


def read(src: Tensor, idx: Any) -> Any:
    """One element as a scalar."""
    run = require_run("pl.read")
    offsets = tuple(idx) if isinstance(idx, (list, tuple)) else (idx,)
    if not isinstance(src, Tensor):
        raise UnsupportedError("pl.read of a tile", site=run.site(), hint="store it and read the tensor")
    _same_rank(run, "pl.read", src, src.shape, offsets)
    return run.transfers.read(src, offsets)


def write(dst: Tensor, idx: Any, s: Any) -> Tensor:
    """Store one scalar; returns the tensor."""
    run = require_run("pl.write")
    offsets = tuple(idx) if isinstance(idx, (list, tuple)) else (idx,)
    if not isinstance(dst, Tensor):
        raise UnsupportedError("pl.write to a tile", site=run.site(), hint="assemble a tile made by pl.full")
    _same_rank(run, "pl.write", dst, dst.shape, offsets)
    run.transfers.write(dst, offsets, s)
    return dst


def set_validshape(x: Tile, rows: Any, cols: Any) -> Tile:
    """Declare which rows and columns of a tile are valid."""
    run = require_run("pl.set_validshape")
    return run.memory.with_valid(x, _valid(run, (rows, cols), x.shape))


def fillpad(x: Tile, pad_value: Any = 0) -> Tile:
    """Fill what lies outside a tile's valid shape with a number, and make all of it valid."""
    run = require_run("pl.fillpad")
    if pad_value not in (0, float("inf"), float("-inf")):
        raise KernelError(
            "PTO205",
            "fillpad fills with 0, inf or -inf",
            site=run.site(),
            values=f"got {pad_value!r}",
            hint="use one of these",
        )
    return run.memory.filled(x, pad_value)


def min(a: Any, b: Any) -> Any:
    """The smaller of two scalars."""
    return _choose(a, b, a < b if not isinstance(b, LaneScalar) else b > a, builtins.min)


def max(a: Any, b: Any) -> Any:
    """The larger of two scalars."""
    return _choose(a, b, a > b if not isinstance(b, LaneScalar) else b < a, builtins.max)


def _choose(a: Any, b: Any, first: Any, plain: Any) -> Any:
    if not isinstance(first, LaneScalar):
        return plain(a, b)
    values = [x.resolve() if isinstance(x, LaneScalar) else x for x in (a, b)]
    return LaneScalar(first.core, np.where(first.resolve(), *values), first.core.lanes)
