"""Pads, repeats and other views of whole tiles; statements for the author's eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pto_sim.engine.reinterpretation import reinterpreted
from pto_sim.engine.run import Run, require_run
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.engine.windows import Window
from pto_sim.language.storage import _extents, full, pad_number, slice, store
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError


def fillpad(x: Any, pad_value: Any = 0) -> Tile:
    """Fill what lies outside a tile's valid shape, and make all of it valid. pad_value: pl.PadValue, 0, inf or -inf."""
    run = require_run("pl.fillpad")
    return run.memory.filled(_tile(run, x), pad_number(run, pad_value))


def _tile(run: Run, x: Any) -> Tile:
    return run.memory.materialize(x) if isinstance(x, Tensor) else x


def fillpad_inplace(x: Any, pad_value: Any = 0) -> Tile:
    """pl.fillpad into the tile itself."""
    return fillpad(x, pad_value)


def fillpad_expand(x: Any, shape: Sequence[Any], pad_value: Any = 0) -> Tile:
    """A larger tile that holds x and is filled elsewhere."""
    run = require_run("pl.fillpad_expand")
    x, of_tile = _tile(run, x), isinstance(x, Tile) and x.explicit
    extents = _extents(run, "pl.fillpad_expand", shape)
    if len(extents) != x.ndim or any(new < old for new, old in zip(extents, x.shape, strict=True)):
        raise KernelError(
            "PTO202", "pl.fillpad_expand makes a tile larger", site=run.site(),
            values=f"{list(x.shape)} to {list(extents)}", hint="give a shape that is at least as large on every axis",
        )  # fmt: skip
    larger = run.memory.create_tile(extents, x.dtype)
    run.memory.update_tile(larger, Window((0,) * x.ndim, x.shape, ()), run.memory.with_valid(x, x.shape))
    larger.explicit = of_tile
    return fillpad(run.memory.with_valid(larger, x.valid or x.shape), pad_value)


def expands(target: Any, scalar: Any) -> Tile:
    """A tile of the target's shape and type that holds one number."""
    return full(target.shape, target.dtype, scalar)


def expand_clone(src: Tensor, target: Tensor) -> Tensor:
    """Write src to a tensor of three dimensions, repeated along the one where it has extent 1; returns the target.

    pypto: src/ir/transforms/op_conversion_registry.cpp, tensor.expand_clone.
    """
    run = require_run("pl.expand_clone")
    if not isinstance(src, Tensor) or not isinstance(target, Tensor):
        raise KernelError(
            "PTO202", "pl.expand_clone copies a tensor in GM to a tensor in GM", site=run.site(),
            values=f"{src!r}, {target!r}", hint="expand tiles with pl.row_expand or pl.col_expand",
        )  # fmt: skip
    wider = [axis for axis, (have, want) in enumerate(zip(src.shape, target.shape, strict=False)) if have != want]
    if src.ndim != 3 or target.ndim != 3 or len(wider) > 1 or any(src.shape[axis] != 1 for axis in wider):
        raise KernelError(
            "PTO202", "pl.expand_clone takes three dimensions and repeats along one", site=run.site(),
            values=f"{list(src.shape)} to {list(target.shape)}", hint="reshape to three dimensions",
        )  # fmt: skip
    first, rows, columns = target.shape
    if wider and wider[0] == 1:
        for row in range(first):
            part = run.transfers.load(src, (row, 0, 0), (1, 1, columns), (1, 1, columns))
            line = run.memory.reshape(part, (1, columns))
            whole = run.compute.apply("col_expand", (run.memory.create_tile((rows, columns), src.dtype), line), {})
            store(_shaped(run, whole, (1, rows, columns)), [row, 0, 0], target)
        return target
    part = run.memory.materialize(src)
    if wider and wider[0] == 2:
        column = run.memory.reshape(part, (first * rows, 1))
        whole = run.memory.create_tile((first * rows, columns), src.dtype)
        part = _shaped(run, run.compute.apply("row_expand", (whole, column), {}), target.shape)
    for place in range(first if wider == [0] else 1):
        store(part, [place, 0, 0], target)
    return target


def _shaped(run: Run, tile: Tile, shape: tuple[int, ...]) -> Tile:
    shaped = run.memory.reshape(tile, shape)
    assert isinstance(shaped, Tile)
    return shaped


def extract(src: Tile, index_row: Any, index_col: Any, shape: Sequence[Any], *, target_memory: str) -> Tile:
    """A window of a tile of two dimensions at (index_row, index_col), in another memory (TEXTRACT)."""
    run = require_run("pl.tile.extract")
    if not isinstance(src, Tile) or src.ndim != 2 or len(shape) != 2:
        raise KernelError(
            "PTO202", "pl.tile.extract cuts a tile of two dimensions", site=run.site(),
            values=f"{src!r}, shape {list(shape)}", hint="load the tensor first, reshape it to two dimensions",
        )  # fmt: skip
    part = slice(src, shape, [index_row, index_col])
    assert isinstance(part, Tile)
    return part


def transpose_view(t: Tile) -> Tile:
    """The tile with its last two axes exchanged, without a copy."""
    return require_run("pl.transpose_view").memory.transpose_view(t)


def reinterpret_view(x: Any, dtype: DataType, *, shape: Sequence[Any] | None = None) -> Any:
    """The bits of a tile or tensor read as another type; the last extent changes with the element's size."""
    run = require_run("pl.reinterpret_view")
    extents = None if shape is None else _extents(run, "pl.reinterpret_view", shape)
    return reinterpreted(run, x, dtype, extents)


def static_print(value: Any, *values: Any) -> None:
    """Printed once while the kernel is prepared."""
    print(value, *values)


def static_assert(condition: Any, message: str = "") -> None:
    """Raises KernelError (PTO206) if a constant condition is false."""
    if not condition:
        site = require_run("pl.static_assert").site()
        raise KernelError(
            "PTO206", f"static_assert failed: {message}", site=site, values=f"the condition is {condition!r}",
            hint="the constants that the condition names must make it true",
        )  # fmt: skip


def dump_tag(tensor: Any) -> None:
    """Marks a tensor for the argument dump of the launches that follow; no effect on values.

    Raises KernelError: PTO206 for anything but a tensor, PTO204 inside a task.
    """
    run = require_run("pl.dump_tag")
    if not isinstance(tensor, Tensor):
        raise KernelError(
            "PTO206", "pl.dump_tag takes tensors", site=run.site(), values=f"got {tensor!r}",
            hint="mark a tensor in GM; a tile has no address outside its task",
        )  # fmt: skip
    if run.core is not None:
        raise KernelError(
            "PTO204", "pl.dump_tag belongs in the orchestration", site=run.site(), values=f"{tensor!r}, in a task",
            hint="put it before the launch whose arguments it marks",
        )  # fmt: skip
    run.dumped.add(tensor.storage.tensor)


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
