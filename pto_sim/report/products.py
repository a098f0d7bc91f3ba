"""The matrix products of a program and the L0 tiles that the compiler cuts them into."""

from __future__ import annotations

from pto_sim.lowering.cube_ops import l0_tile, matmul_shape
from pto_sim.numerics.optable import OP_TABLE
from pto_sim.program.model import Program
from pto_sim.report.model import ProductReport


def products_of(program: Program) -> tuple[ProductReport, ...]:
    """One row for each product of the source with its operand types, in the order of first use."""
    rows: dict[ProductReport, None] = {}
    for signature in program.signatures:
        row = OP_TABLE.get(signature.op)
        if row is None or row.unit != "M":
            continue
        shape = matmul_shape(signature)
        tile = l0_tile(shape)
        site = str(program.sites[signature.site])
        blocks = -(-shape.k // tile.k)
        rows[
            ProductReport(
                site, signature.op, shape.batch, shape.m, shape.k, shape.n, shape.dtype, tile.m, tile.k, tile.n,
                blocks, tile.stationary,
            )
        ] = None  # fmt: skip
    return tuple(rows)
