"""Vector instructions of a tile op, by the cost classes of its table row.

Composite ops follow pto-isa: include/pto/npu/a2a3 (TRowReduce, TColReduce, TRowExpand, TGather) in the number of
passes; the costs of the passes are the chip's.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from ascend_model.isa import VECTOR_REPEAT_BYTES, VecOp
from pto_sim.numerics.optable import OP_TABLE
from pto_sim.program.errors import UnsupportedError

_CLASSES = MappingProxyType(
    {
        "vadd": VecOp.ADD, "vsub": VecOp.ADD, "vmax": VecOp.MAX_MIN, "vmin": VecOp.MAX_MIN, "vmul": VecOp.MUL,
        "vdiv": VecOp.DIV, "vand": VecOp.BITWISE, "vor": VecOp.BITWISE, "vnot": VecOp.BITWISE, "vadds": VecOp.ADDS,
        "vmuls": VecOp.MULS, "vmaxs": VecOp.MAXS, "vrelu": VecOp.MAXS, "vmins": VecOp.MINS, "vlrelu": VecOp.LRELU,
        "vabs": VecOp.ABS, "vexp": VecOp.EXP, "vln": VecOp.LN, "vsqrt": VecOp.SQRT, "vrsqrt": VecOp.RSQRT,
        "vcopy": VecOp.COPY, "vector_dup": VecOp.COPY, "vbrcb": VecOp.BRCB, "vcadd": VecOp.CADD,
        "vcgadd": VecOp.CGADD, "vcgmax": VecOp.CGMAX, "vcgmin": VecOp.CGMAX, "vsel": VecOp.SEL, "vcmpv": VecOp.CMPV,
        "vconv": VecOp.CONV, "vreducev2": VecOp.REDUCEV2, "vgather": VecOp.GATHER, "vmrgsort4": VecOp.MRGSORT4,
        "vnchwconv": VecOp.OTHER, "vaxpy": VecOp.OTHER, "vshl": VecOp.OTHER, "vshr": VecOp.OTHER,
    }
)  # fmt: skip

_WITH_SCALAR = MappingProxyType(
    {
        "add": ("vadds",), "sub": ("vadds",), "mul": ("vmuls",), "maximum": ("vmaxs",), "minimum": ("vmins",),
        "div": ("vector_dup", "vdiv"),
    }
)  # fmt: skip
"""An op with a scalar second operand. TDIVS fills a tile and divides: its measured 5 cycles a repeat are 1 + 4."""

COPIES = frozenset({"assemble", "fillpad"})
"""Recorded ops without a table row that copy a tile within UB."""

_ROW_BY_ROW_PREFIXES = ("row_expand", "col_expand")


class VectorStep(NamedTuple):
    """One vector instruction: its class, rows, valid bytes of a row, and whether rows are packed.

    chained: it needs the previous step's result. op None: a loop of the scalar unit over `rows` elements instead.
    """

    op: VecOp | None
    rows: int
    row_bytes: int
    packed: bool
    chained: bool = True


class TileExtent(NamedTuple):
    """What one vector core processes of a tile: rows, columns, bytes of an element, rows packed or not."""

    rows: int
    cols: int
    itemsize_bytes: int
    packed: bool

    @property
    def row_bytes(self) -> int:
        """Valid bytes of a row."""
        return self.cols * self.itemsize_bytes


def vector_class(name: str, dtype: str) -> VecOp:
    """Cost class of an instruction name of the op table. Raises UnsupportedError for an unknown one."""
    if name == "vexp" and dtype == "FP16":
        return VecOp.EXP_FP16
    found = _CLASSES.get(name)
    if found is None:
        raise UnsupportedError(f"the vector instruction {name} in the timing model")
    return found


def vector_steps(
    op: str, dtype: str, tile: TileExtent, *, scalar_operand: bool = False, row_operand: bool = False
) -> list[VectorStep]:
    """Instructions of vector op `op` over `tile`: the input of a reduction, the larger of input and output else.

    dtype: element type of the first tile operand, or of the result of an op without one. scalar_operand, row_operand:
    the second operand is a number, or one element for each row of the tile.
    """
    if op in COPIES:
        return [VectorStep(VecOp.COPY, tile.rows, tile.row_bytes, tile.packed)]
    row = OP_TABLE[op]
    if row.shape_rule == "row_reduce":
        return _row_reduce(vector_class(row.cost_class[1], dtype), tile)
    if row.shape_rule == "col_reduce":
        return _col_reduce(vector_class(row.cost_class[0], dtype), tile)
    if op == "gather":
        return _gather(tile)
    names = _WITH_SCALAR.get(op, row.cost_class) if scalar_operand else row.cost_class
    if row_operand:
        names = ("vbrcb", *names)
    packed = tile.packed and not row_operand and not op.startswith(_ROW_BY_ROW_PREFIXES)
    steps = []
    for name in names:
        if name in ("scalar", "scalar_row"):
            count = tile.rows * tile.cols if name == "scalar" else tile.cols
            steps.append(VectorStep(None, count, 0, False))
        elif name == "vbrcb":
            steps.append(VectorStep(VecOp.BRCB, 1, max(1, tile.rows) * tile.itemsize_bytes, True))
        else:
            steps.append(VectorStep(vector_class(name, dtype), tile.rows, tile.row_bytes, packed))
    return steps


def _row_reduce(fold: VecOp, tile: TileExtent) -> list[VectorStep]:
    """Rows wider than one repeat are folded repeat by repeat, then each row is one full reduce.

    Gives 7 cycles a row up to one repeat and 2 more for each further one; the measured TROWSUM and TROWMAX lines
    are 7, 8 and 14 for 1, 2 and 5.25 repeats (pto-isa: a2a3/formula_costmodel/formula_params.csv).
    """
    repeats = -(-tile.row_bytes // VECTOR_REPEAT_BYTES)
    steps = []
    if repeats > 1:
        steps.append(VectorStep(fold, tile.rows, (repeats - 1) * VECTOR_REPEAT_BYTES, False))
    last = tile.row_bytes if repeats <= 1 else VECTOR_REPEAT_BYTES
    steps.append(VectorStep(VecOp.CADD, tile.rows, last, False))
    return steps


def _col_reduce(fold: VecOp, tile: TileExtent) -> list[VectorStep]:
    """Row after row into the result; each step needs the one before."""
    steps = [VectorStep(VecOp.COPY, 1, tile.row_bytes, True)]
    return steps + [VectorStep(fold, 1, tile.row_bytes, True)] * (tile.rows - 1)


def _gather(tile: TileExtent) -> list[VectorStep]:
    """Indices become byte offsets, then one vgather and a barrier for each row (pto-isa: TGather)."""
    steps = [VectorStep(VecOp.MULS, tile.rows, tile.row_bytes, tile.packed)]
    return steps + [VectorStep(VecOp.GATHER, 1, tile.row_bytes, True)] * tile.rows
