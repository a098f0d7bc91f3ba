"""Rows of the operator table: bits, remainders, rectifiers and sums of three."""

from __future__ import annotations

from pto_sim.numerics import arithmetic, bits, expand, trigonometry
from pto_sim.numerics.element_types import FLOATS, INTS
from pto_sim.numerics.op_row import OpRow

_ALL = (*FLOATS, *INTS)
_WORDS = ("INT16", "UINT16")
_SHIFTED = ("INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32")
_PAIR = ("tile", "tile")
_MIXED = ("tile", "tile_or_scalar")
_WITH_NUMBER = ("tile", "scalar")
_THREE = ("tile", "tile_or_scalar", "tile_or_scalar")
_PART_NOTE = "where both are valid the operation, where one is that one, else 0"


def _bit_rows() -> tuple[OpRow, ...]:
    both = (("and", bits.bit_and, "vand"), ("or", bits.bit_or, "vor"), ("xor", bits.bit_xor, "vor"))
    rows = [
        OpRow(
            name=f"{name}_", operands=_MIXED, dtypes=_WORDS, shape_rule="same", function=function, cost_class=(cost,),
            note="bit by bit, 16-bit integers",
        )
        for name, function, cost in both
    ]  # fmt: skip
    rows.append(
        OpRow(
            name="not_", operands=("tile",), dtypes=_WORDS, shape_rule="same", function=bits.bit_not,
            cost_class=("vnot",), note="bit by bit, 16-bit integers",
        )
    )  # fmt: skip
    for name, function, cost in (("shl", bits.shift_left, "vshl"), ("shr", bits.shift_right, "vshr")):
        rows.append(
            OpRow(
                name=name, operands=_MIXED, dtypes=_SHIFTED, shape_rule="same", function=function, cost_class=(cost,),
                note="counts modulo 32; >> of a signed type is arithmetic",
            )
        )  # fmt: skip
    return tuple(rows)


_PLAIN = (
    OpRow(
        name="relu", operands=("tile",), dtypes=("FP32", "FP16", "INT32"), shape_rule="same",
        function=arithmetic.relu, cost_class=("vrelu",), note="NaN stays NaN, -0 stays -0",
    ),
    OpRow(
        name="lrelu", operands=_WITH_NUMBER, dtypes=FLOATS, shape_rule="same", function=arithmetic.lrelu,
        cost_class=("vlrelu",), note="x > 0 ? x : x * slope",
    ),
    OpRow(
        name="prelu", operands=_PAIR, dtypes=("FP32", "FP16"), shape_rule="same", function=arithmetic.prelu,
        cost_class=("vcmpv", "vmul", "vsel"), note="x > 0 ? x : x * slope",
    ),
    OpRow(
        name="addc", operands=_THREE, dtypes=_ALL, shape_rule="same", function=arithmetic.addc,
        cost_class=("vadd", "vadd"), note="a + b + c, 16-bit floats rounded once",
    ),
    OpRow(
        name="subc", operands=_THREE, dtypes=_ALL, shape_rule="same", function=arithmetic.subc,
        cost_class=("vsub", "vadd"), note="a - b + c, 16-bit floats rounded once",
    ),
    OpRow(
        name="rdivs", operands=_WITH_NUMBER, dtypes=_ALL, shape_rule="same", function=arithmetic.rdivs,
        cost_class=("vector_dup", "vdiv"), note="number / tile",
    ),
    OpRow(
        name="fmod", operands=_MIXED, dtypes=_ALL, shape_rule="same", function=arithmetic.fmod,
        cost_class=("vdiv", "vconv", "vconv", "vmul", "vsub"), note="sign of the first operand",
    ),
    OpRow(
        name="rem", operands=_MIXED, dtypes=_ALL, shape_rule="same", function=arithmetic.rem,
        cost_class=("vdiv", "vconv", "vconv", "vmul", "vsub"), note="sign of the second operand",
    ),
    OpRow(
        name="sin", operands=("tile",), dtypes=("FP32",), shape_rule="same", function=trigonometry.sin,
        cost_class=("vmuls",) * 12 + ("vsub",) * 5 + ("vconv",) * 4 + ("vadds",) * 6 + ("vmul",) * 6,
        note="four-part reduction by pi, odd polynomial of degree 9, one FP32 operation at a time",
    ),
    OpRow(
        name="cos", operands=("tile",), dtypes=("FP32",), shape_rule="same", function=trigonometry.cos,
        cost_class=("vmuls",) * 12 + ("vsub",) * 5 + ("vconv",) * 4 + ("vadds",) * 9 + ("vmul",) * 6,
        note="as sin, shifted by half a period",
    ),
)  # fmt: skip

_PARTS = tuple(
    OpRow(
        name=f"part_{name}", operands=_PAIR, attrs=("a_valid", "b_valid"), dtypes=("FP32", "FP16", "BF16", "INT32",
        "INT16", "INT8", "UINT8"), shape_rule="same", function=function, cost_class=(cost,), note=_PART_NOTE,
    )
    for name, function, cost in (
        ("add", arithmetic.part_add, "vadd"), ("mul", arithmetic.part_mul, "vmul"),
        ("max", arithmetic.part_max, "vmax"), ("min", arithmetic.part_min, "vmin"),
    )
)  # fmt: skip

_EXPDIF = tuple(
    OpRow(
        name=f"{axis}_expand_expdif", operands=_PAIR, dtypes=("FP32", "FP16"), shape_rule=f"{axis}_vector",
        function=function, cost_class=(*first, "vsub", "vexp"),
        note="exp(x - v), the difference rounded to the element type first",
    )
    for axis, function, first in (("row", expand.row_expand_expdif, ("vbrcb",)), ("col", arithmetic.expdif, ()))
)  # fmt: skip

INTEGER_ROWS = (*_bit_rows(), *_PLAIN, *_PARTS, *_EXPDIF)
