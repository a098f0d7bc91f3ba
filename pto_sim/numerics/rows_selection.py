"""Rows of the operator table: masks, sorting, positions, generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pto_sim.numerics import comparisons, generators, index_reductions, sorting
from pto_sim.numerics.element_types import FLOATS, INTS, STORAGE
from pto_sim.numerics.op_row import OpRow
from pto_sim.numerics.typing_errors import OpTypeError
from pto_sim.numerics.typing_rules import OperandType

_ALL = (*FLOATS, *INTS)
_PAIR = ("tile", "tile")
_SORTED = ("FP32", "FP16")
# pypto: src/backend/common/pto_ops_elementwise.cpp, MakeSelsCodegenPTO and MakeTriCodegenPTO, for a2a3; what TTRI has
# of those: pto-isa: include/pto/npu/a2a3/TTri.hpp.
_WIDE = ("FP32", "FP16", "INT32", "INT16", "UINT32", "UINT16")
_MASKS = ("UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32")


def _check_positions(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    """The sort carries the positions along as 32-bit words (pto-isa: include/pto/npu/a2a3/TSort32.hpp)."""
    if tiles[1].dtype not in ("UINT32", "INT32"):
        raise OpTypeError(
            "sort32 carries positions of 32-bit integers",
            f"got {tiles[1].dtype}",
            "pl.arange(0, [1, n], dtype=pl.UINT32), or pl.cast",
        )


def _check_mask(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    """Bits packed into integers (pypto: src/ir/op/tile_ops/elementwise.cpp, IsTSelsMaskDataType)."""
    mask, data = tiles[0], tiles[1]
    if mask.dtype not in _MASKS:
        raise OpTypeError(
            "a selection reads bits that are packed into integers of 8, 16 or 32 bits",
            f"a mask of {mask.dtype}",
            "make the mask with pl.tile.cmp",
        )
    bits = mask.shape[-1] * STORAGE[mask.dtype].itemsize * 8
    if bits < data.shape[-1]:
        raise OpTypeError(
            "a selection needs one mask bit for each element",
            f"{bits} bits in a row of {list(mask.shape)} {mask.dtype}, {data.shape[-1]} elements",
            "make the mask with pl.tile.cmp",
        )


SELECTION_ROWS = (
    OpRow(
        name="cmp", operands=("tile", "tile_or_scalar"), attrs=("cmp_type", "packed_mask", "width"), dtypes=_ALL,
        shape_rule="packed_mask", out_dtype_rule="mask", function=comparisons.cmp, cost_class=("vcmpv",),
        profiles_differ=True,
        note="eq ne lt le gt ge = 0..5; cpu-sim: a number equals within 1e-9, rows of its mask run on",
    ),
    OpRow(
        name="sel", operands=("tile", "tile", "tile"), attrs=("mask_bytes",), dtypes=_ALL, shape_rule="masked",
        out_dtype_rule="masked", function=comparisons.sel, cost_class=("vsel",), profiles_differ=True,
        check=_check_mask,
        note="mask bit set: first, else second; cpu-sim reads a running stream of bits",
    ),
    OpRow(
        name="sels", operands=("tile", "tile", "tile_or_scalar"), dtypes=_WIDE, shape_rule="masked",
        out_dtype_rule="masked", function=comparisons.sels, cost_class=("vsel",), check=_check_mask,
        note="mask bit set: the tile, else the number",
    ),
    OpRow(
        name="sort32", operands=_PAIR, attrs=("width",), dtypes=_SORTED, shape_rule="sort32", out_dtype_rule="free",
        function=sorting.sort32, check=_check_positions, cost_class=("vmrgsort4",), profiles_differ=True,
        note="blocks of 32 descending, records of 8 bytes; cpu-sim overlaps the blocks of 16-bit types",
    ),
    OpRow(
        name="mrgsort", operands=("tile",), attrs=("block_len",), dtypes=_SORTED, shape_rule="one_row",
        function=sorting.mrgsort, cost_class=("vmrgsort4",), note="four consecutive runs merged; ties: earlier run",
    ),
    OpRow(
        name="mrgsort_lists", operands=_PAIR, attrs=("exhausted",), dtypes=_SORTED, shape_rule="one_row",
        variadic=True, function=sorting.mrgsort_lists, cost_class=("vmrgsort4",), note="two to four lists merged",
    ),
    *(
        OpRow(
            name=name, operands=("tile",), dtypes=(*FLOATS, *INTS), shape_rule=rule, function=function,
            cost_class=cost, note="rounded to the element type after every step",
        )
        for name, rule, function, cost in (
            ("row_prod", "row_reduce", index_reductions.row_prod, ("vmul", "vmul", "vmul")),
            ("col_prod", "col_reduce", index_reductions.col_prod, ("vmul",)),
        )
    ),
    *(
        OpRow(
            name=name, operands=("tile",), dtypes=_ALL, shape_rule=rule, out_dtype_rule="int32", function=function,
            cost_class=cost, note="position of the first extreme; a NaN at position 0 stays",
        )
        for name, rule, function, cost in (
            ("row_argmax", "row_reduce", index_reductions.row_argmax, ("vcgmax", "vmax", "vcgmax")),
            ("row_argmin", "row_reduce", index_reductions.row_argmin, ("vcgmin", "vmin", "vcgmin")),
            ("col_argmax", "col_reduce", index_reductions.col_argmax, ("vmax",)),
            ("col_argmin", "col_reduce", index_reductions.col_argmin, ("vmin",)),
        )
    ),
    OpRow(
        name="random", operands=(), attrs=("key", "counter", "shape", "valid", "dtype", "rounds"),
        dtypes=("UINT32", "INT32"), shape_rule="fill", out_dtype_rule="attr", function=generators.random,
        cost_class=("vmul",) * 20, note="Philox4x32",
    ),
    OpRow(
        name="tri", operands=(), attrs=("diagonal", "shape", "dtype", "upper"), dtypes=_WIDE, shape_rule="fill",
        out_dtype_rule="attr", function=generators.tri, cost_class=("vector_dup",), note="1 in the triangle, 0 outside",
    ),
)  # fmt: skip
