"""Which part of each operand an operator reads when tiles are only partly valid.

A valid box starts at the origin. Elementwise operators need equal boxes; a vector that is repeated must cover the
tile's box; a product reads the rows of its left and the columns of its right operand (pypto:
src/ir/op/tile_ops/matmul.cpp: the right operand must hold every K that the left one has).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pto_sim.engine.tile import Tile
from pto_sim.numerics.optable import OpRow
from pto_sim.program.errors import KernelError, UnsupportedError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Box = tuple[int, ...]
_EQUAL = ("same", "same_or_row", "cast", "row_reduce", "col_reduce", "transpose", "packed_mask", "bits")


def operand_boxes(run: Run, row: OpRow, tiles: Sequence[Tile], attrs: Mapping[str, Any]) -> list[Box]:
    """The box of each tile operand. Raises KernelError (PTO202), UnsupportedError for an operator without a rule."""
    full = [tile.valid or tile.shape for tile in tiles]
    rule = row.shape_rule
    if rule in ("matmul", "matmul_acc"):
        return _product(run, row.name, tiles, full, attrs)
    if rule in ("row_vector", "col_vector"):
        rows, columns = full[0]
        want = (rows, 1) if rule == "row_vector" else (1, columns)
        if any(have < need for have, need in zip(full[1], want, strict=True)):
            raise _differ(run, row.name, full)
        return [full[0], want]
    if rule not in _EQUAL:
        raise UnsupportedError(
            f"pl.{row.name} on a partly valid tile", site=run.site(), hint="pl.fillpad the operands first"
        )
    for box, tile in zip(full, tiles, strict=True):
        if box != full[0] and not (tile.shape[-1] == 1 and box[:-1] == full[0][:-1]):
            raise _differ(run, row.name, full)
    return full


def _product(run: Run, name: str, tiles: Sequence[Tile], full: list[Box], attrs: Mapping[str, Any]) -> list[Box]:
    if any(len(box) != 2 for box in full):
        raise UnsupportedError(f"pl.{name} of partly valid tiles of rank 3", site=run.site(), hint="pl.fillpad them")
    left, right = full[-2], full[-1]
    rows, depth = (left[1], left[0]) if attrs.get("a_trans") else left
    held, columns = (right[1], right[0]) if attrs.get("b_trans") else right
    if held < depth:
        raise _differ(run, name, full)
    boxes = [left, (columns, depth) if attrs.get("b_trans") else (depth, columns)]
    if len(full) == 3:
        if full[0][0] < rows or full[0][1] < columns:
            raise _differ(run, name, full)
        boxes.insert(0, (rows, columns))
    return boxes


def _differ(run: Run, name: str, full: Sequence[Box]) -> KernelError:
    return KernelError(
        "PTO202",
        f"pl.{name} needs operands whose valid shapes fit",
        site=run.site(),
        values=" and ".join(str(list(box)) for box in full),
        hint="narrow both alike, or pl.fillpad them",
    )
