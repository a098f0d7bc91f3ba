"""Rows of the operator table: gathers and scatters, in tiles and between tiles and GM.

Element types are those that pypto accepts (src/ir/op/tile_ops/{gather,scatter,memory}.cpp); TSCATTER of a2a3 is a loop
of the scalar unit (pto-isa: include/pto/npu/a2a3/TScatter.hpp), hence the cost class `scalar`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pto_sim.numerics import indexed, patterns, table_access
from pto_sim.numerics.element_types import STORAGE
from pto_sim.numerics.op_row import OpRow
from pto_sim.numerics.typing_errors import OpTypeError
from pto_sim.numerics.typing_rules import OperandType

_PAIR = ("tile", "tile")
_GATHERED = ("FP32", "FP16", "INT32", "INT16")
_SCATTERED = (*_GATHERED, "BF16", "INT8")
_TABLE = ("FP32", "FP16", "BF16", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32")
_COMPARED = ("FP32", "FP16", "INT32")

_LARGEST_INT16_PLACES = 1 << 15
_CMP_EQ, _CMP_GT = 0, 4


def _index_as_wide(op: str, element: str, index: str) -> None:
    """TSCATTER reads an index as wide as an element, at least 16 bits."""
    want = "INT32" if STORAGE[element].itemsize == 4 else "INT16"
    if index != want:
        raise OpTypeError(
            f"{op} of {element} needs an index of {want}", f"got {index}", f"pl.cast(index, target_type=pl.{want})"
        )


def _check_scatter(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    base, index, src = tiles
    _index_as_wide("scatter", base.dtype, index.dtype)
    _same_element("scatter", base.dtype, src.dtype)
    _places_fit_index(base.shape, index.dtype)


def _check_scatter_flat(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    base, src, index = tiles
    _index_as_wide("scatter", base.dtype, index.dtype)
    _same_element("scatter", base.dtype, src.dtype)
    if index.shape != src.shape:
        raise OpTypeError(
            "scatter needs one index for each element of its source",
            f"source {list(src.shape)}, index {list(index.shape)}",
            "make the index tile as large as the source",
        )


def _check_scatter_rows(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    base, index, src = tiles
    if index.dtype[:3] not in ("INT", "UIN"):
        raise OpTypeError("scatter_update needs an integer index", f"got {index.dtype}", "cast the index to INT32")
    _same_element("scatter_update", base.dtype, src.dtype)
    _places_fit_index(base.shape, "INT32" if STORAGE[base.dtype].itemsize == 4 else "INT16")


def _same_element(op: str, base: str, src: str) -> None:
    if base != src:
        raise OpTypeError(f"{op} needs a source of its destination's type", f"{base} and {src}", "cast the source")


def _places_fit_index(shape: Sequence[int], index: str) -> None:
    places = shape[0] * shape[1]
    if index == "INT16" and places > _LARGEST_INT16_PLACES:
        raise OpTypeError(
            "a scatter into elements of 16 bits counts places in INT16",
            f"destination {list(shape)} has {places} places, at most {_LARGEST_INT16_PLACES}",
            "scatter into fewer rows at a time, or into a type of 32 bits",
        )


def _check_columns(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    dst, src = tiles
    columns = len(patterns.pattern_columns(int(attrs["pattern"]), dst.shape[-1]))
    if src.shape != (*dst.shape[:-1], columns) or dst.dtype != src.dtype:
        raise OpTypeError(
            "a scatter by pattern fills each selected column of its destination",
            f"source {list(src.shape)} {src.dtype}, destination {list(dst.shape)} {dst.dtype}",
            f"the source must be {[*dst.shape[:-1], columns]} of {dst.dtype}",
        )


def _check_compare(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    mode, dtype = attrs["cmp_mode"], tiles[0].dtype
    if mode not in (_CMP_EQ, _CMP_GT) or (dtype == "INT32" and mode != _CMP_EQ):
        raise OpTypeError(
            "a2a3 gathers by comparison with eq and gt, INT32 with eq",
            f"cmp_mode {mode} of {dtype}",
            "compare with pl.cmp, or cast INT32 to FP32",
        )


def _check_gatherb(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    offsets = tiles[1]
    if offsets.dtype != "UINT32" or len(offsets.shape) != 2 or offsets.shape[1] % 8:
        raise OpTypeError(
            "gatherb needs byte offsets of UINT32, a multiple of 8 in a row",
            f"offsets {list(offsets.shape)} {offsets.dtype}",
            "pad the offsets' rows to 32 bytes",
        )


def _check_table(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    table, index = tiles
    if index.dtype != "INT32":
        raise OpTypeError("mgather needs an index of INT32", f"got {index.dtype}", "cast the index")
    if attrs["coalesce"] == table_access.ROW and (len(table.shape) < 2 or index.shape[0] != 1):
        raise OpTypeError(
            "mgather of rows takes a table of rows and an index [1, R]",
            f"table {list(table.shape)}, index {list(index.shape)}",
            "reshape the index to one row, or use coalesce='elem'",
        )


def _check_mscatter(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    table, src, index = tiles
    _same_element("mscatter", table.dtype, src.dtype)
    if index.dtype != "INT32" or index.shape != src.shape:
        raise OpTypeError(
            "mscatter needs an INT32 index for each element of its source",
            f"source {list(src.shape)}, index {list(index.shape)} {index.dtype}",
            "make the index tile as large as the source",
        )


INDEXED_ROWS = (
    OpRow(
        name="gather_axis", operands=_PAIR, attrs=("axis",), dtypes=_GATHERED, shape_rule="gather_axis",
        out_dtype_rule="index", function=indexed.gather_axis, cost_class=("vmuls", "vadd", "vmuls", "vgather"),
        profiles_differ=True, note="along any axis; an index outside: an error in a2a3, 0 in cpu-sim",
    ),
    OpRow(
        name="gather_mask", operands=("tile",), attrs=("pattern", "dtype"), dtypes=_GATHERED,
        shape_rule="pattern", out_dtype_rule="attr", function=patterns.gather_mask, cost_class=("vreducev2",),
        note="columns of a pattern; a type of the same width reinterprets the bits",
    ),
    OpRow(
        name="gather_flat", operands=_PAIR, dtypes=_GATHERED, shape_rule="index_shape",
        out_dtype_rule="index", function=patterns.gather_flat, cost_class=("vmuls", "vgather"), profiles_differ=True,
        note="flat index; outside: an error in a2a3, 0 in cpu-sim",
    ),
    OpRow(
        name="gather_compare", operands=("tile", "tile_or_scalar"), attrs=("cmp_mode", "offset", "columns"),
        dtypes=_COMPARED, shape_rule="matches", out_dtype_rule="int32", function=indexed.gather_compare,
        cost_class=("vcmpv", "vreducev2"), check=_check_compare,
        note="columns, plus offset, of the elements that are equal or greater; what is behind them is not written",
    ),
    OpRow(
        name="gather_count", operands=("tile", "tile_or_scalar"), attrs=("cmp_mode", "dtype"), dtypes=_COMPARED,
        shape_rule="row_of_rows", out_dtype_rule="attr", function=indexed.gather_count, cost_class=("scalar_row",),
        check=_check_compare, note="matches of each row; the second result of gather_compare",
    ),
    OpRow(
        name="gatherb", operands=_PAIR, attrs=("columns", "dtype"), dtypes=_TABLE, shape_rule="blocks",
        out_dtype_rule="reinterpreted", function=patterns.gatherb, cost_class=("vgather",), profiles_differ=True,
        check=_check_gatherb, note="32-byte blocks by byte offset; outside: an error in a2a3, unwritten in cpu-sim",
    ),
    OpRow(
        name="scatter", operands=("tile", "tile", "tile"), dtypes=_SCATTERED, shape_rule="scatter",
        out_dtype_rule="free", function=indexed.scatter, check=_check_scatter,
        cost_class=("vmuls", "vadd", "vector_dup", "scalar", "vector_dup", "scalar", "vcmpv", "vsel"),
        note="out[b, index[b, k]] = src[b, k], the last write stays; the rest from the first operand",
    ),
    OpRow(
        name="scatter_rows", operands=("tile", "tile", "tile"), dtypes=_SCATTERED, shape_rule="scatter_rows",
        out_dtype_rule="free", function=indexed.scatter_rows, check=_check_scatter_rows,
        cost_class=("vmuls", "vadd", "vector_dup", "scalar", "vector_dup", "scalar", "vcmpv", "vsel"),
        note="scatter_update: row index.flat[k] = src[k], the last write stays",
    ),
    OpRow(
        name="scatter_columns", operands=_PAIR, attrs=("pattern",), dtypes=_SCATTERED, shape_rule="first",
        out_dtype_rule="free", function=indexed.scatter_columns, check=_check_columns,
        cost_class=("vector_dup", "scalar", "vector_dup", "scalar", "vcmpv", "vsel"),
        note="columns of a pattern from the second operand, the others from the first",
    ),
    OpRow(
        name="scatter_flat", operands=("tile", "tile", "tile"), dtypes=_SCATTERED, shape_rule="first",
        out_dtype_rule="free", function=patterns.scatter_flat, check=_check_scatter_flat,
        cost_class=("vector_dup", "scalar"), profiles_differ=True,
        note="flat[index] = src, the last write stays; the rest 0 in a2a3, as it was in cpu-sim",
    ),
    OpRow(
        name="scatter_mask", operands=_PAIR, attrs=("pattern",), dtypes=_SCATTERED, shape_rule="first",
        out_dtype_rule="free", function=patterns.scatter_mask, check=_check_columns,
        cost_class=("vector_dup", "scalar"), note="columns of a pattern from src, the others 0",
    ),
    OpRow(
        name="mgather", operands=_PAIR, attrs=("coalesce", "oob"), dtypes=_TABLE, shape_rule="table",
        out_dtype_rule="free", function=table_access.mgather, cost_class=("scalar",), profiles_differ=True,
        check=_check_table, note="rows or elements of GM; a negative index is a large one (32 bits, cpu-sim 64)",
    ),
    OpRow(
        name="mscatter", operands=("tile", "tile", "tile"), dtypes=_GATHERED, shape_rule="first",
        out_dtype_rule="free", function=table_access.mscatter, cost_class=("scalar",), check=_check_mscatter,
        note="elements of GM by index, the last write stays; an index outside is an error",
    ),
)  # fmt: skip
