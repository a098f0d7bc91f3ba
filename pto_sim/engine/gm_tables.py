"""Tables in GM that a task reads and writes by index: pl.mgather and pl.mscatter.

What is touched is recorded exactly: one box for each row or element of each block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import LaneSet
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.engine.value_errors import index_error
from pto_sim.numerics.element_types import FILL_BYTE
from pto_sim.numerics.index_errors import GatherIndexError
from pto_sim.numerics.optable import OP_TABLE, OpTypeError, infer
from pto_sim.numerics.table_access import ROW, remapped
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature, ValueType

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Box = tuple[int, ...]


def gather_from(
    run: Run, table: Tensor, index: Tile | Tensor, coalesce: int, oob: int, memory: str, valid: Box | None
) -> Tile:
    """Rows (coalesce 0) or elements (1) of a table as a tile. index: a tile, or a tensor that the scalar unit reads.

    valid: what of the result is gathered; None: what the index has. Raises KernelError: PTO202 for shapes and types,
    PTO205 for an index outside, PTO101 after the table's scope closed.
    """
    core = run.task_core("pl.mgather")
    table.check_alive()
    attrs = {"coalesce": coalesce, "oob": oob}
    type_ = _checked(run, "mgather", (table.type, index.type), attrs)
    values = _index_values(index)
    box = _gathered_box(index, coalesce, type_.shape) if valid is None else valid
    cut = values[:, :, : box[0]] if coalesce == ROW else values[:, : box[0], : box[1]]
    try:
        picked = OP_TABLE["mgather"].function(table.array()[None], cut, profile=run.options.numerics, **attrs)
        places, taken = remapped(cut, _extent(table, coalesce), oob, run.options.numerics, "gather")
    except GatherIndexError as error:
        raise index_error(run, "mgather", error) from error
    picked = picked[:, : box[0], : box[1]]
    count = len(picked) * int(np.prod(type_.shape)) * table.dtype.nbytes
    data = np.full(count, FILL_BYTE, np.uint8).view(picked.dtype).reshape(len(picked), *type_.shape)
    data[:, : box[0], : box[1]] = picked
    tile = core.make_tile(data, type_, table.dtype, valid=box if box != type_.shape else None)
    tile.explicit = True
    recorded = (("coalesce", "row" if coalesce == ROW else "elem"), ("memory", memory), ("valid", box))
    signature = OpSignature("mgather", (table.type, index.type), type_, recorded, run.here())
    ins = (index.number,) if isinstance(index, Tile) else ()
    core.record(run.recorder.signature(signature), tile.number, ins, table.storage.tensor)
    if isinstance(index, Tensor):
        read = (1, box[0]) if coalesce == ROW else box
        run.touch(index, False, run.here(), np.array([index.offset]), read)
    _touch(run, table, False, places, taken, coalesce, box)
    return tile


def scatter_to(run: Run, table: Tensor, src: Tile, index: Tile) -> None:
    """table.flat[index] = src, block after block: the last write to a place stays.

    Raises KernelError: PTO202 for shapes and types, PTO205 for an index outside, PTO101 after the scope closed.
    """
    core = run.task_core("pl.mscatter")
    table.check_alive()
    _checked(run, "mscatter", (table.type, src.type, index.type), {})
    box = src.valid or src.shape
    window = tuple(slice(0, extent) for extent in box)
    data, at = src.resolve()[(slice(None), *window)], index.resolve()[(slice(None), *window)]
    view = table.array()
    try:
        after = OP_TABLE["mscatter"].function(view[None], data, at, profile=run.options.numerics)[0]
    except GatherIndexError as error:
        raise index_error(run, "mscatter", error) from error
    unchanged = np.array_equal(after.view(np.uint8), np.ascontiguousarray(view).view(np.uint8))
    table.storage.own()
    table.array()[...] = after
    signature = OpSignature("mscatter", (src.type, index.type, table.type), None, (("valid", box),), run.here())
    core.record(run.recorder.signature(signature), -1, (src.number, index.number), table.storage.tensor)
    _touch(run, table, True, at.astype(np.int64), np.ones(at.shape, bool), 1, box, unchanged)


def _checked(run: Run, name: str, types: tuple[ValueType, ...], attrs: dict[str, Any]) -> ValueType:
    try:
        shape, dtype = infer(OP_TABLE[name], types, attrs)
    except OpTypeError as error:
        raise KernelError("PTO202", error.rule, site=run.site(), values=error.values, hint=error.hint) from error
    return ValueType(shape, dtype, "tile")


def _index_values(index: Tile | Tensor) -> np.ndarray:
    """The index on each lane; the same for all where the scalar unit reads it from GM."""
    if isinstance(index, Tile):
        return index.resolve()
    index.check_alive()
    return index.array()[None]


def _gathered_box(index: Tile | Tensor, coalesce: int, shape: Box) -> Box:
    valid = index.valid if isinstance(index, Tile) else None
    if valid is None:
        return shape
    return (valid[1], shape[1]) if coalesce == ROW else valid


def _extent(table: Tensor, coalesce: int) -> int:
    count = int(np.prod(table.shape))
    return count // table.shape[-1] if coalesce == ROW else count


def _touch(
    run: Run, table: Tensor, write: bool, places: np.ndarray, taken: np.ndarray, coalesce: int, box: Box,
    unchanged: bool = False,
) -> None:  # fmt: skip
    """Record the rows or elements that were accessed. places, taken: [L, ...]."""
    if not taken.any():
        return
    axes = table.ndim - 1 if coalesce == ROW else table.ndim
    lane = np.nonzero(taken)[0]
    where = np.unravel_index(places[taken], table.shape[:axes])
    strides = table.strides[:axes]
    offsets = table.offset + sum(at * step for at, step in zip(where, strides, strict=True))
    sizes = (1,) * axes + ((min(box[1], table.shape[-1]),) if coalesce == ROW else ())
    core = run.task_core("a table in GM")
    if len(taken) == 1:  # one index for all blocks: they touch the same places
        lanes = LaneSet(np.full(len(offsets), core.lanes.ids[0]))
    else:
        lanes = LaneSet(core.lanes.ids[lane])
    same = np.ones(len(offsets), np.bool_) if unchanged else None
    run.touch(table, write, run.here(), np.asarray(offsets, np.int64), sizes, lanes, same=same)
