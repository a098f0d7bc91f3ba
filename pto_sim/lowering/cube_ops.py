"""A matmul as L0 extracts and products.

The loop nest is that of the compiler's L0 tiling (pypto: docs/en/dev/passes/15-auto_tile_matmul_l0.md): an
output grid of [m, n] tiles, each with a K loop; the held operand of an A- or B-stationary grid is extracted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pto_sim.lowering.dtypes import itemsize_bytes
from pto_sim.lowering.lowered import L0Use
from pto_sim.numerics.l0_tiling import L0Tile, product_tile
from pto_sim.program.model import OpSignature

FRACTAL_ROWS = 16
FRACTAL_ROW_BYTES = 32


class MatmulShape(NamedTuple):
    """m, n, k of a product, how many of them a batch holds, the operands' dtype and its bytes.

    op: 'matmul', 'matmul_acc' or 'matmul_bias'. manual, chained: the compiler does not cut it, or cuts it for products
    that read it (see numerics.l0_tiling).
    """

    m: int
    n: int
    k: int
    batch: int
    dtype: str
    itemsize_bytes: int
    op: str = "matmul"
    manual: bool = False
    chained: bool = False


class CubeStep(NamedTuple):
    """One L0 product and the extracts it needs: None where the operand is still in L0. starts: of an output tile."""

    m: int
    n: int
    k: int
    a_bytes: int | None
    b_bytes: int | None
    starts: bool


def matmul_shape(signature: OpSignature) -> MatmulShape:
    """Extents of a recorded matmul or matmul_acc. Leading axes of a 3D operand are batch."""
    operands = [value for value in signature.ins if value.space == "tile"]
    a, b = operands[-2], operands[-1]
    attrs = dict(signature.attrs)
    rows, inner = a.shape[-2:] if not attrs.get("a_trans") else (a.shape[-1], a.shape[-2])
    cols = b.shape[-2] if attrs.get("b_trans") else b.shape[-1]
    batch = 1
    for left, right in zip(_leading(a.shape, b.shape), _leading(b.shape, a.shape), strict=True):
        batch *= max(left, right)
    manual, chained = bool(attrs.get("manual")), bool(attrs.get("chained"))
    return MatmulShape(rows, cols, inner, batch, a.dtype, itemsize_bytes(a.dtype), signature.op, manual, chained)


def _leading(shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    missing = max(0, len(other) - len(shape))
    return (1,) * missing + shape[:-2]


def l0_tile(shape: MatmulShape) -> L0Tile:
    """The compiler's L0 tile; the whole product where the compiler leaves it whole."""
    return product_tile(shape.op, shape.m, shape.n, shape.k, shape.dtype, manual=shape.manual, chained=shape.chained)


def l0_uses(op: str, shape: MatmulShape) -> list[L0Use]:
    """Distinct L0 products of a matmul, boundary tiles included."""
    found = {(step.m, step.n, step.k): None for step in cube_steps(shape)}
    return [L0Use(op, m, n, k, shape.dtype) for m, n, k in found]


def cube_steps(shape: MatmulShape) -> Iterator[CubeStep]:
    """L0 products of a matmul in order, batch by batch."""
    tile = l0_tile(shape)
    for _ in range(shape.batch):
        yield from _grid(shape, tile)


def _grid(shape: MatmulShape, tile: L0Tile) -> Iterator[CubeStep]:
    rows, cols = _cuts(shape.m, tile.m), _cuts(shape.n, tile.n)
    rows_outer = tile.stationary != "b"
    outer, inner = (rows, cols) if rows_outer else (cols, rows)
    holds = tile.stationary != "output" and tile.k >= shape.k
    for first in outer:
        fresh_outer = True
        for second in inner:
            m, n = (first, second) if rows_outer else (second, first)
            for block, k in enumerate(_cuts(shape.k, tile.k)):
                held = holds and not fresh_outer
                a_bytes = None if held and rows_outer else fractal_bytes(m, k, shape.itemsize_bytes)
                b_bytes = None if held and not rows_outer else fractal_bytes(n, k, shape.itemsize_bytes)
                yield CubeStep(m, n, k, a_bytes, b_bytes, block == 0)
            fresh_outer = False


def _cuts(extent: int, step: int) -> list[int]:
    """Lengths of the pieces of an axis, the last one possibly shorter."""
    return [min(step, extent - at) for at in range(0, extent, step)]


def fractal_bytes(rows: int, inner: int, itemsize: int) -> int:
    """Bytes of an L0 operand tile in whole 16 x 32-byte fractals."""
    padded_rows = -(-rows // FRACTAL_ROWS) * FRACTAL_ROWS
    row_bytes = -(-inner * itemsize // FRACTAL_ROW_BYTES) * FRACTAL_ROW_BYTES
    return padded_rows * row_bytes
