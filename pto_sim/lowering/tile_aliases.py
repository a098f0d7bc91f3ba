"""Tiles that are part of another tile: strided views, and loads that land in a larger tile."""

from __future__ import annotations

from collections.abc import Iterator

from pto_sim.lowering.dtypes import rows_cols
from pto_sim.lowering.opclass import Role
from pto_sim.lowering.unit_split import UnitSplit
from pto_sim.program.model import Program, Stream


def unpacked_views(stream: Stream, program: Program, split: UnitSplit) -> Iterator[int]:
    """Views whose rows are not adjacent: a column slice of a tile with several rows, and views of those."""
    found: set[int] = set()
    for index, op in enumerate(stream.ops):
        if split.roles[index] is not Role.VIEW:
            continue
        rows, cols = rows_cols(split.types[op.out].shape)
        _, parent_cols = rows_cols(split.types[op.ins[0]].shape)
        narrower = program.signatures[op.signature].op == "slice" and cols < parent_cols
        if rows > 1 and (narrower or op.ins[0] in found):
            found.add(op.out)
            yield op.out


def loads_into_tiles(stream: Stream, split: UnitSplit) -> Iterator[tuple[int, int]]:
    """Loads whose only use is to be assembled into a tile of their memory go straight there: op -> root of that tile.

    Yields the load and the assemble (pypto: docs/en/dev/passes/36-fuse_create_assemble_to_slice.md).
    """
    uses: dict[int, list[int]] = {}
    definition: dict[int, int] = {}
    for index, op in enumerate(stream.ops):
        if op.out >= 0 and op.out not in definition:
            definition[op.out] = index
        for value in op.ins:
            uses.setdefault(value, []).append(index)
    for index, op in enumerate(stream.ops):
        if split.roles[index] is not Role.ASSEMBLE:
            continue
        source = op.ins[1]
        load = definition[source]
        only_use = uses[source] == [index] and definition[op.out] < load
        if only_use and split.roles[load] is Role.LOAD and split.units[load] == split.units[index]:
            yield load, split.root[op.out]
            yield index, split.root[op.out]
