"""What an operator's operands must be beyond shapes and element types; checked once for each call site and types.

pypto: python/pypto/language/op/unified_ops.py (tensors and tiles),
src/ir/op/tensor_ops/elementwise.cpp (shift counts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.scalar_operands import check_scalar_operand
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.numerics.optable import OpRow
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

_ONE_LEVEL = ("same", "same_or_row", "row_vector", "col_vector", "matmul", "matmul_acc", "concat")
_SHIFTS = ("shl", "shr")
_NUMBER_LESS = ("INT8", "INT16", "INT32", "FP16", "FP32", "BF16")


def check_operands(run: Run, row: OpRow, operands: Sequence[Any], attrs: Mapping[str, Any]) -> None:
    """Raises KernelError: PTO249 for tiles mixed with tensors, PTO202 for values, PTO269 for an index."""
    if row.shape_rule in _ONE_LEVEL:
        _one_level(run, row, operands)
    if row.unit == "M":
        _transposes(run, row, operands, attrs)
    if (
        len(operands) > 1
        and isinstance(operands[0], (Tile, Tensor))
        and isinstance(operands[1], (int, float, LaneScalar))
    ):
        check_scalar_operand(run, row.name, operands[0].dtype)
        _number_less(run, row, operands[0])
    if row.name in _SHIFTS and isinstance(operands[1], int) and operands[1] < 0:
        raise KernelError(
            "PTO202",
            f"pl.{row.name} shifts by 0 or more places",
            site=run.site(),
            values=f"got {operands[1]}",
            hint=f"pl.{'shr' if row.name == 'shl' else 'shl'}(x, {-operands[1]})",
        )


def _number_less(run: Run, row: OpRow, tile: Tile | Tensor) -> None:
    """A number taken from a tile: the instruction has fewer types than that of two tiles (elementwise.cpp, subs)."""
    if row.name == "sub" and tile.dtype.name not in _NUMBER_LESS:
        raise KernelError(
            "PTO202",
            f"pl.sub of a number does not take {tile.dtype.name}",
            site=run.site(),
            values=f"operand {tile!r}",
            hint=f"pl.add the negative number, or cast to one of {', '.join(_NUMBER_LESS)}",
        )


def _one_level(run: Run, row: OpRow, operands: Sequence[Any]) -> None:
    tiles = [x for x in operands if isinstance(x, Tile) and x.explicit]
    tensors = [x for x in operands if isinstance(x, Tensor) or (isinstance(x, Tile) and not x.explicit)]
    if tiles and tensors:
        raise KernelError(
            "PTO249",
            f"pl.{row.name} takes tiles or tensors, not both",
            site=run.site(),
            values=f"tile {tiles[0]!r}; of a tensor: {tensors[0]!r}",
            hint="pl.load the tensor, or slice both with a subscript",
        )


def _transposes(run: Run, row: OpRow, operands: Sequence[Any], attrs: Mapping[str, Any]) -> None:
    asked = [name for name in ("a_trans", "b_trans") if attrs.get(name)]
    if not asked:
        return
    values = operands[-2:]
    if any(isinstance(x, Tile) and x.explicit for x in values):
        raise KernelError(
            "PTO249",
            f"pl.{row.name} of tiles has no {asked[0]}=",
            site=run.site(),
            values=f"operands {values[0]!r} and {values[1]!r}",
            hint="pl.tile.transpose_view(t) is the transposed tile",
        )
    for name, value in zip(("a_trans", "b_trans"), values, strict=True):
        if attrs.get(name) and len(value.shape) < 2:
            raise KernelError(
                "PTO202",
                f"{name}= transposes a matrix",
                site=run.site(),
                values=f"operand of {len(value.shape)} dimension: {value!r}",
                hint="reshape it to [1, N] or [N, 1]",
            )
