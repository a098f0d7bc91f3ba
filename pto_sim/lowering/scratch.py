"""Scratch tiles that the compiler gives to an op, in UB, for as long as the op runs.

Sizes from pypto: src/ir/transforms/op_conversion_registry.cpp (reductions, gather, merge sort, comparison) and
docs/en/dev/passes/13-flatten_tile_nd_to_2d.md (transpose).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pto_sim.lowering.dtypes import itemsize_bytes, nbytes
from pto_sim.program.model import OpSignature, ValueType

_MIN_REDUCED_COLS = 128
_SELECT_BYTES = 32


def scratch_bytes(signature: OpSignature) -> int:
    """Bytes of scratch that an op on vector cores needs beside its operands and its result."""
    rule = _RULES.get(signature.op)
    tiles = [operand for operand in signature.ins if operand.space == "tile"]
    return rule(signature, tiles) if rule is not None and tiles else 0


def _rows(signature: OpSignature, tiles: list[ValueType]) -> int:
    """A row reduction: the source's shape, but at least 128 columns."""
    shape = tiles[0].shape
    return math.prod(shape[:-1]) * max(shape[-1], _MIN_REDUCED_COLS) * itemsize_bytes(tiles[0].dtype)


def _source(signature: OpSignature, tiles: list[ValueType]) -> int:
    return nbytes(tiles[0])


def _gathered_row(signature: OpSignature, tiles: list[ValueType]) -> int:
    """Rows are gathered one by one: an index workspace and the row that comes out, for a row and the next one."""
    if len(tiles) < 2:
        return _SELECT_BYTES
    columns = tiles[1].shape[-1]
    return 2 * columns * (itemsize_bytes(tiles[1].dtype) + itemsize_bytes(tiles[0].dtype))


def _merged(signature: OpSignature, tiles: list[ValueType]) -> int:
    """A merge of several lists: room for all of them."""
    return sum(nbytes(tile) for tile in tiles) if len(tiles) > 1 else 0


def _selected(signature: OpSignature, tiles: list[ValueType]) -> int:
    """A comparison to 0 and 1: two constant tiles, the packed mask and the selection's workspace."""
    return 2 * nbytes(tiles[0]) + max(_SELECT_BYTES, nbytes(tiles[0]) // 8) + _SELECT_BYTES


_RULES: Mapping[str, Callable[[OpSignature, list[ValueType]], int]] = MappingProxyType(
    {
        **dict.fromkeys(("row_sum", "row_max", "row_min", "row_prod"), _rows),
        **dict.fromkeys(("row_argmax", "row_argmin", "col_argmax", "col_argmin"), _source),
        **dict.fromkeys(("transpose", "rsqrt", "recip", "col_sum"), _source),
        "gather": _gathered_row,
        "mrgsort": _merged,
        "cmp": _selected,
    }
)
