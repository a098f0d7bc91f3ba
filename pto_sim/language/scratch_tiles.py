"""What a scratch tile must be: its element type, its extents, and that it is nothing else's buffer.

A scratch tile changes no value here, but the compiler refuses one that the instruction would run over (pypto:
src/ir/op/tile_ops/{reduction,unary,transform}.cpp, src/backend/common/pto_ops_elementwise.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pto_sim.engine.run import Run
from pto_sim.engine.tile import Tile
from pto_sim.program.errors import KernelError

_Rule = Callable[[Sequence[Tile], Tile], str]
"""What the operands (the first) need beside the scratch tile that they have (the second); '' if nothing."""


def _any_tile(operands: Sequence[Tile], scratch: Tile) -> str:
    return ""


def _same_type(operands: Sequence[Tile], scratch: Tile) -> str:
    same = scratch.dtype.name == operands[0].dtype.name
    return "" if same else f"a scratch tile of its operand's element type, {operands[0].dtype.name}"


def _same_rank(operands: Sequence[Tile], scratch: Tile) -> str:
    same = len(scratch.shape) == len(operands[0].shape)
    return _same_type(operands, scratch) or ("" if same else f"a scratch tile of {len(operands[0].shape)} dimensions")


def _covers(operands: Sequence[Tile], scratch: Tile) -> str:
    small = any(have < need for have, need in zip(scratch.shape, operands[0].shape, strict=False))
    return _same_rank(operands, scratch) or (f"a scratch tile of at least {list(operands[0].shape)}" if small else "")


def _equal(operands: Sequence[Tile], scratch: Tile) -> str:
    same = scratch.shape == operands[0].shape
    return _same_type(operands, scratch) or (
        "" if same else f"a scratch tile of {list(operands[0].shape)}, as its operand"
    )


def _two_dimensions(operands: Sequence[Tile], scratch: Tile) -> str:
    if len(scratch.shape) != 2:
        return "a scratch tile of two dimensions"
    shared = next((x for x in operands if x.root is scratch.root), None)
    return "" if shared is None else f"a scratch tile in a buffer of its own, not that of {shared!r}"


def _of_prelu(operands: Sequence[Tile], scratch: Tile) -> str:
    """A mask of one more row, and no two operands in one buffer."""
    src, slope = operands
    rows, columns = src.valid or src.shape
    if scratch.dtype.name != "UINT8":
        return "a scratch tile of UINT8"
    if src.root is slope.root:
        return "a slope in a buffer of its own"
    wrong = _two_dimensions(operands, scratch)
    if wrong:
        return wrong
    have_columns = (scratch.valid or scratch.shape)[1]
    if scratch.shape[0] < rows + 1 or have_columns < -(-columns // 8):
        return f"a scratch tile of at least [{rows + 1}, {-(-columns // 8)}]: a bit for each element, and one more row"
    return ""


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        **dict.fromkeys(("row_sum", "row_max", "row_min", "row_prod"), _covers),
        **dict.fromkeys(("row_argmax", "row_argmin", "rsqrt"), _equal),
        "col_sum": _same_type,
        "transpose": _same_rank,
        "sel": _any_tile,
        "sels": _two_dimensions,
        "prelu": _of_prelu,
    }
)


def check_scratch(run: Run, name: str, operands: Sequence[object], scratch: object) -> None:
    """The scratch tile of an operator on tiles. Raises KernelError (PTO249) where the compiler refuses it."""
    tiles = [x for x in operands if isinstance(x, Tile)]
    if name not in _RULES or not tiles:
        return
    wrong = _RULES[name](tiles, scratch) if isinstance(scratch, Tile) else "a tile as its scratch"
    if wrong:
        raise KernelError(
            "PTO249",
            f"pl.{name} needs {wrong}",
            site=run.site(),
            values=f"operands {', '.join(map(repr, tiles))}, scratch {scratch!r}",
            hint="make it with pl.create_tile(shape, dtype=...) and use it for nothing else",
        )
