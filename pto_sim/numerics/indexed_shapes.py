"""Shape rules of operators with an index or a pattern. Each takes the tile operands' shapes and returns the result's.

pypto: src/ir/op/tensor_ops/gather.cpp, src/ir/op/tile_ops/{gather,scatter,memory}.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pto_sim.numerics.typing_errors import OpTypeError, Shape, shapes_text


def _gather(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    source, index = shapes
    if len(source) != 2 or len(index) != 2 or source[0] != index[0]:
        raise OpTypeError(
            f"{op} takes source [B, S] and index [B, K]", shapes_text(shapes), "the row counts must agree"
        )
    return index


def _gather_axis(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    source, index = shapes
    axis = attrs["axis"]
    if len(source) != len(index) or not -len(source) <= axis < len(source):
        raise OpTypeError(
            "gather takes a source and an index of one rank", f"{shapes_text(shapes)}, dim {axis}", "reshape the index"
        )
    axis %= len(source)
    if any(k > s for a, (s, k) in enumerate(zip(source, index, strict=True)) if a != axis):
        raise OpTypeError(
            "gather's index is not larger than its source on the other axes",
            f"{shapes_text(shapes)}, dim {axis}", "slice the index",
        )  # fmt: skip
    return index


def _pattern(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    period = 1 if attrs["pattern"] == 7 else 2 if attrs["pattern"] < 3 else 4
    if shapes[0][-1] % period:
        raise OpTypeError(
            "a pattern of columns repeats without a rest",
            f"{shapes[0][-1]} columns, pattern {attrs['pattern']}", f"make the columns a multiple of {period}",
        )  # fmt: skip
    return (*shapes[0][:-1], shapes[0][-1] // period)


def _index_shape(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    return shapes[1]


def _blocks(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    return (*shapes[1][:-1], int(attrs["columns"]))


def _first(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    return shapes[0]


def _scatter(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    base, index, src = shapes
    if len(base) != 2 or index != src or index[0] > base[0]:
        raise OpTypeError(
            "scatter takes [B, S], and an index and a source [R, K] with R at most B",
            shapes_text(shapes), "make index and source alike",
        )  # fmt: skip
    return base


def _scatter_rows(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    base, index, src = shapes
    if len(base) != 2 or len(index) != 2 or src != (index[0] * index[1], base[1]):
        raise OpTypeError(
            "scatter_update takes [M, D], an index [B, S] and a source [B * S, D]",
            shapes_text(shapes), "one source row for each index",
        )  # fmt: skip
    return base


def _matches(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    if len(shapes[0]) != 2 or attrs["columns"] < 1:
        raise OpTypeError(
            f"{op} takes a tile [M, N] and a positive out_cols",
            f"{shapes_text(shapes)}, out_cols {attrs['columns']}", "reshape the tile to two dimensions",
        )  # fmt: skip
    return (shapes[0][0], int(attrs["columns"]))


def _row_of_rows(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    if len(shapes[0]) != 2:
        raise OpTypeError(f"{op} takes a tile [M, N]", shapes_text(shapes), "reshape the tile to two dimensions")
    return (1, shapes[0][0])


def _table(op: str, shapes: Sequence[Shape], attrs: Mapping[str, Any]) -> Shape:
    table, index = shapes
    if len(index) != 2:
        raise OpTypeError(f"{op} takes an index of two dimensions", shapes_text(shapes), "reshape the index")
    return index if attrs["coalesce"] else (index[0] * index[1], table[-1])


INDEXED_SHAPES: Mapping[str, Callable[[str, Sequence[Shape], Mapping[str, Any]], Shape]] = MappingProxyType(
    {
        "gather": _gather,
        "gather_axis": _gather_axis,
        "pattern": _pattern,
        "index_shape": _index_shape,
        "blocks": _blocks,
        "first": _first,
        "scatter": _scatter,
        "scatter_rows": _scatter_rows,
        "matches": _matches,
        "row_of_rows": _row_of_rows,
        "table": _table,
    }
)
