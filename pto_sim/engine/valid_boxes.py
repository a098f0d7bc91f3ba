"""Which part of each operand an operator reads when tiles are only partly valid.

A valid box starts at the origin. Elementwise operators need equal boxes. A vector that is repeated is read over the
tile's whole box, whatever its own valid shape says: the result has the valid shape of the tile (pypto:
src/ir/op/tile_ops/broadcast.cpp), and an author may leave unused what comes from the vector's rest. A product reads
the rows of its left and the columns of its right operand (pypto: src/ir/op/tile_ops/matmul.cpp: the right operand
must hold every K that the left one has).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import BlocksDisagreeError
from pto_sim.engine.tile import Tile
from pto_sim.engine.windows import Window, offset_array
from pto_sim.numerics.optable import OpRow
from pto_sim.program.errors import KernelError, UnsupportedError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Box = tuple[int, ...]
_STRICT = frozenset({"div"})  # pypto: src/ir/op/tile_ops/elementwise.cpp, the one pair whose valid shapes are compared
_EQUAL = ("same", "same_or_row", "cast", "row_reduce", "col_reduce", "transpose", "packed_mask", "bits", "sort32")
PACKED = frozenset({"gather_mask", "concat", "gather_compare", "gather_count"})
_GATHERS = ("gather", "gather_axis", "index_shape")


def operand_boxes(run: Run, row: OpRow, tiles: Sequence[Tile], attrs: Mapping[str, Any]) -> list[Box]:
    """The box of each tile operand. Raises KernelError (PTO202), UnsupportedError for an operator without a rule."""
    full = [tile.valid or tile.shape for tile in tiles]
    rule = row.shape_rule
    if rule in ("matmul", "matmul_acc", "matmul_bias"):
        return _product(run, row.name, tiles, full, attrs)
    if rule in ("row_vector", "col_vector"):
        rows, columns = full[0]
        want = (rows, tiles[1].shape[-1]) if rule == "row_vector" else (1, columns)
        return [full[0], want]
    if rule == "blocks" and tiles[0].valid is None:
        return full  # the offsets' valid box decides which blocks are read
    if rule == "masked":
        return _masked(run, row.name, tiles, full)
    if rule in ("one_row", "pattern", "matches", "row_of_rows"):
        return full
    if row.name == "scatter_mask":
        return _spread(run, row.name, tiles, full)
    if rule == "concat":
        return _joined(run, row.name, tiles, full)
    if rule in _GATHERS:
        return _gathered(run, row.name, tiles)
    if rule == "scatter" and full[1] == full[2]:
        return [tiles[0].shape, full[1], full[2]]  # the index's valid elements are written (scatter.cpp)
    if row.name == "scatter_flat" and full[1] == full[2]:
        # The index says where in the whole destination an element goes.
        return [tiles[0].shape, full[1], full[2]]
    if rule in ("row_reduce", "col_reduce") and 0 in full[0]:
        raise KernelError(
            "PTO202",
            f"pl.{row.name} needs at least one valid element",
            site=run.site(),
            values=f"{tiles[0]!r}, valid {list(full[0])}",
            hint="skip the block that has no rows, or pl.fillpad the tile",
        )
    if rule not in _EQUAL:
        raise UnsupportedError(
            f"pl.{row.name} on a partly valid tile", site=run.site(), hint="pl.fillpad the operands first"
        )
    if full[0] == tiles[0].shape and row.name not in _STRICT and all(tile.shape == full[0] for tile in tiles):
        # The op runs over the valid shape of its first operand; what the author does not use of it may be anything.
        return [tile.shape for tile in tiles]
    for box, tile in zip(full, tiles, strict=True):
        if box != full[0] and not (tile.shape[-1] == 1 and box[:-1] == full[0][:-1]):
            raise _differ(run, row.name, full)
    return full


def narrowed(valid: Box, offsets: Sequence[Any], sizes: Box, wanted: Box | None) -> Box:
    """What is valid of a window of a partly valid tensor: what the author wants, and no more than the tensor has."""
    return tuple(
        max(0, min(want, have - int(offset.__index__())))
        for have, offset, want in zip(valid, offsets, wanted or sizes, strict=True)
    )


def reshaped_box(shape: Box, valid: Box, new: Box) -> Box | None:
    """The valid box after a reshape, or None if the valid elements are no longer a box at the origin."""
    kept = [(extent, part) for extent, part in zip(shape, valid, strict=True) if extent != 1]
    if tuple(extent for extent, _ in kept) == tuple(extent for extent in new if extent != 1):
        parts = iter(part for _, part in kept)
        return tuple(1 if extent == 1 else next(parts) for extent in new)
    # A run of elements from the first on: full rows after the first axis that is cut.
    cut = next((axis for axis, (extent, part) in enumerate(kept) if part != extent), len(kept))
    if any(part != extent for extent, part in kept[cut + 1 :]) or any(part != 1 for _, part in kept[:cut]):
        return None
    count = math.prod(valid)
    box: list[int] = []
    for axis in range(len(new)):
        inner = math.prod(new[axis + 1 :])
        if count % inner and count > inner:
            return None
        part = max(1, count // inner)
        box.append(part)
        if part > 1:
            count = inner
    return tuple(box)


def window_box(run: Run, valid: Box, window: Window) -> Box | None:
    """The valid box of a window of a tile: the tile's, shifted and cut; None if all of the window is valid.

    pypto: InferWindowReadValidShape. Raises BlocksDisagreeError (PTO208) where blocks get different boxes.
    """
    columns = offset_array(window.offsets)
    ends = np.array(valid)[:, None] - columns
    boxes = np.clip(ends, 0, np.array(window.sizes)[:, None])
    if (boxes != boxes[:, :1]).any():
        raise BlocksDisagreeError(
            "PTO208", "blocks need different valid shapes of one slice", site=run.site(), values=f"valid {list(valid)}",
            hint="slice where the tile is valid, or pl.fillpad it first",
        )  # fmt: skip
    box = tuple(int(extent) for extent in boxes[:, 0])
    if box == window.sizes:
        return None
    return tuple(extent for axis, extent in enumerate(box) if axis not in window.dropped)


def assemble_tile(run: Run, target: Tile, value: Tile, window: Window) -> None:
    """Write a tile into a window of another, as `pl.assemble` and `tile[...] = value` do.

    Raises KernelError (PTO202) if what is valid of the target would not be one box.
    """
    valid = written_box(run, target, value, window)
    run.memory.update_tile(target, window, value)
    target.valid = valid


def written_box(run: Run, target: Tile, value: Tile, window: Window) -> Box | None:
    """The valid box of a tile after `value` is assembled into it: one box at the origin, or KernelError (PTO202).

    pypto: src/ir/op/type_inference.cpp, InferWriteValidShapeUnion. Left alone where blocks write elsewhere.
    """
    if target.valid is None or value.ndim != target.ndim or not all(type(o) is int for o in window.offsets):
        return target.valid
    held, part = target.valid, value.valid or value.shape
    starts = tuple(window.offsets)
    ends = [start + extent for start, extent in zip(starts, part, strict=True)]
    growing = [axis for axis, (end, have) in enumerate(zip(ends, held, strict=True)) if end > have]
    if 0 in part or (0 not in held and not growing):
        return held
    grown = tuple(max(end, have) for end, have in zip(ends, held, strict=True))
    at_origin = not any(starts)
    covers = at_origin and (0 in held or all(p >= h for p, h in zip(part, held, strict=True)))
    rest = [axis for axis in range(len(held)) if growing != [axis]]
    abuts = 0 not in held and len(growing) == 1 and starts[growing[0]] <= held[growing[0]]
    if not covers and not (abuts and all(starts[axis] == 0 and part[axis] == held[axis] for axis in rest)):
        raise KernelError(
            "PTO202", "what is valid of a tile is one box at its origin: a write abuts it, over its whole width",
            site=run.site(), values=f"valid {list(held)}, written {list(part)} at {list(starts)}",
            hint="write in order from the origin, or into a tile that is valid everywhere",
        )  # fmt: skip
    box = part if covers else grown
    return None if box == target.shape else box


def batched_box(tiles: Sequence[Tile], shape: Box, attrs: Mapping[str, Any]) -> Box | None:
    """The valid box of a product with batch axes: its rows from the left operand, its columns from the right."""
    if all(tile.valid is None for tile in tiles):
        return None
    left, right = (tile.valid or tile.shape for tile in tiles[-2:])
    rows = left[-1] if attrs.get("a_trans") else left[-2]
    columns = right[-2] if attrs.get("b_trans") else right[-1]
    box = (*shape[:-2], rows, columns)
    return box if box != shape else None


def _product(run: Run, name: str, tiles: Sequence[Tile], full: list[Box], attrs: Mapping[str, Any]) -> list[Box]:
    if any(len(box) != 2 for box in full):
        raise UnsupportedError(f"pl.{name} of partly valid tiles of rank 3", site=run.site(), hint="pl.fillpad them")
    left, right = full[-2], full[-1]
    rows, depth = (left[1], left[0]) if attrs.get("a_trans") else left
    held, columns = (right[1], right[0]) if attrs.get("b_trans") else right
    if held < depth:
        raise _differ(run, name, full)
    boxes = [left, (columns, depth) if attrs.get("b_trans") else (depth, columns)]
    if name == "matmul_bias" and full[0][1] < columns:
        raise _differ(run, name, full)
    if name == "matmul_bias":
        boxes.insert(0, (1, columns))
    elif len(full) == 3:
        if full[0][0] < rows or full[0][1] < columns:
            raise _differ(run, name, full)
        boxes.insert(0, (rows, columns))
    return boxes


def _masked(run: Run, name: str, tiles: Sequence[Tile], full: list[Box]) -> list[Box]:
    """A mask has whole rows of bytes: those of the rows that are selected from."""
    data = full[1]
    if any(box != data for box in full[1:]) or any(m < d for m, d in zip(full[0][:-1], data[:-1], strict=True)):
        raise _differ(run, name, full)
    return [(*data[:-1], tiles[0].shape[-1]), *full[1:]]


def _joined(run: Run, name: str, tiles: Sequence[Tile], full: list[Box]) -> list[Box]:
    """Every row of the result is written (pto-isa: include/pto/npu/a2a3/TConcat.hpp, the asserts on ValidRow)."""
    for tile, box in zip(tiles, full, strict=True):
        if box[:-1] != tile.shape[:-1]:
            raise KernelError(
                "PTO202", f"pl.{name} joins whole rows: every row of its tiles is valid", site=run.site(),
                values=f"{tile!r}, valid {list(box)}", hint="pl.fillpad the tile first",
            )  # fmt: skip
    return full


def _spread(run: Run, name: str, tiles: Sequence[Tile], full: list[Box]) -> list[Box]:
    """A pattern spreads the valid columns over as many times as many (pto-isa: include/pto/npu/a2a3/TScatter.hpp)."""
    into, source = full
    times = tiles[0].shape[-1] // tiles[1].shape[-1]
    if into != (*source[:-1], times * source[-1]):
        raise _differ(run, name, full)
    return full


def place_packed(name: str, part: np.ndarray, out: np.ndarray) -> None:
    """Place what an operator of PACKED made of valid cells where the instruction puts it.

    part, out: [L, M, N], out holds the fill. A mask pattern packs its columns row after row from the start of the tile
    (pto-isa: include/pto/cpu/TGather.hpp; a2a3/TGather.hpp, vreducev2), a concat its second tile right behind the
    valid columns of the first (TConcat.hpp), a gather by comparison the matches and counts of its source's valid rows
    (a2a3/TGather.hpp, TGather_cmp). The compiler takes each result for valid everywhere (pypto:
    src/ir/op/tile_ops/gather.cpp, transform.cpp), so the rest is what the memory held.
    """
    if name == "gather_mask":
        out.reshape(len(out), -1)[:, : part[0].size] = part.reshape(len(part), -1)
    else:
        out[..., : part.shape[-2], : part.shape[-1]] = part


def _gathered(run: Run, name: str, tiles: Sequence[Tile]) -> list[Box]:
    """A gather fills its whole result, so the whole index counts; its source is read wherever the index points.

    pypto: src/ir/op/tile_ops/gather.cpp, whose results are valid everywhere.
    """
    index = tiles[1]
    if index.valid is not None:
        raise KernelError(
            "PTO202", f"pl.{name} reads its whole index: every element of the result has one", site=run.site(),
            values=f"index {list(index.shape)}, valid {list(index.valid)}",
            hint="fill the index: pl.fillpad(index, pl.PadValue.zero)",
        )  # fmt: skip
    return [tile.shape for tile in tiles]


def _differ(run: Run, name: str, full: Sequence[Box]) -> KernelError:
    return KernelError(
        "PTO202",
        f"pl.{name} needs operands whose valid shapes fit",
        site=run.site(),
        values=" and ".join(str(list(box)) for box in full),
        hint="narrow both alike, or pl.fillpad them",
    )
