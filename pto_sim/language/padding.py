"""Pads, repeats and other views of whole tiles; statements for the author's eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pto_sim.engine.run import require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.engine.windows import Window
from pto_sim.language.storage import _extents, full, pad_number, slice
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError


def fillpad(x: Tile, pad_value: Any = 0) -> Tile:
    """Fill what lies outside a tile's valid shape, and make all of it valid. pad_value: pl.PadValue, 0, inf or -inf."""
    run = require_run("pl.fillpad")
    return run.memory.filled(x, pad_number(run, pad_value))


def fillpad_inplace(x: Tile, pad_value: Any = 0) -> Tile:
    """pl.fillpad into the tile itself."""
    return fillpad(x, pad_value)


def fillpad_expand(x: Tile, shape: Sequence[Any], pad_value: Any = 0) -> Tile:
    """A larger tile that holds x and is filled elsewhere."""
    run = require_run("pl.fillpad_expand")
    extents = _extents(run, "pl.fillpad_expand", shape)
    if len(extents) != x.ndim or any(new < old for new, old in zip(extents, x.shape, strict=True)):
        raise KernelError(
            "PTO202", "pl.fillpad_expand makes a tile larger", site=run.site(),
            values=f"{list(x.shape)} to {list(extents)}", hint="give a shape that is at least as large on every axis",
        )  # fmt: skip
    larger = run.memory.create_tile(extents, x.dtype)
    run.memory.update_tile(larger, Window((0,) * x.ndim, x.shape, ()), run.memory.with_valid(x, x.shape))
    larger.explicit = True
    return fillpad(run.memory.with_valid(larger, x.valid or x.shape), pad_value)


def expands(target: Any, scalar: Any) -> Tile:
    """A tile of the target's shape and type that holds one number."""
    return full(target.shape, target.dtype, scalar)


def expand_clone(src: Any, target: Any) -> Tile:
    """src repeated to the target's shape, along the axes where src has extent 1."""
    run = require_run("pl.expand_clone")
    row, column = src.shape[-1] == 1, src.shape[0] == 1
    if not row and not column:
        return run.compute.apply("cast", (src,), {"target": src.dtype.name, "mode": "none"})
    return run.compute.apply("row_expand" if row else "col_expand", (target, src), {})


def extract(src: Tile, row: Any, col: Any, shape: Sequence[Any], *, target_memory: str = "vec") -> Tile:
    """A window of a tile at (row, col)."""
    result = slice(src, shape, [row, col])
    assert isinstance(result, Tile)
    return result


def transpose_view(t: Tile) -> Tile:
    """The tile with its last two axes exchanged, without a copy."""
    return require_run("pl.transpose_view").memory.transpose_view(t)


def reinterpret_view(x: Tile, dtype: DataType, *, shape: Sequence[Any] | None = None) -> Tile:
    """The bits of a tile read as another type; the last extent changes with the element's size."""
    run = require_run("pl.reinterpret_view")
    return run.memory.reinterpret(x, dtype, None if shape is None else _extents(run, "pl.reinterpret_view", shape))


def static_print(*values: Any) -> None:
    """Printed once while the kernel is prepared."""
    print(*values)


def static_assert(condition: Any, message: str = "") -> None:
    """Raises KernelError (PTO206) if a constant condition is false."""
    if not condition:
        site = require_run("pl.static_assert").site()
        raise KernelError(
            "PTO206", f"static_assert failed: {message}", site=site, values=f"the condition is {condition!r}",
            hint="the constants that the condition names must make it true",
        )  # fmt: skip


def dump_tag(*tensors: Any) -> None:
    """Marks tensors for the argument dump; no effect on values."""


def no_dep(t: Any) -> Any:
    """The same tensor, passed to a launch without automatic dependencies."""
    run = require_run("pl.no_dep")
    if not isinstance(t, Tensor):
        raise KernelError(
            "PTO206", "pl.no_dep takes a tensor", site=run.site(), values=f"got {t!r}", hint="wrap the argument itself"
        )
    handle = t.view(t.shape, t.strides, t.offset, alias=t.alias)
    handle.no_dep = True
    return handle
