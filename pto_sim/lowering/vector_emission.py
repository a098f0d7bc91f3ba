"""Issues the vector instructions of one tile op on each vector core of the block."""

from __future__ import annotations

from ascend_model.isa import Kind
from pto_sim.lowering.block_emitter import BlockEmitter
from pto_sim.lowering.dtypes import itemsize_bytes
from pto_sim.lowering.lanes import Lanes
from pto_sim.lowering.scalar_loops import SCALAR_STEP_CYCLES
from pto_sim.lowering.vector_ops import TileExtent, VectorStep, vector_steps
from pto_sim.program.model import ValueType


def emit_vector(
    emitter: BlockEmitter,
    lanes: Lanes,
    op: str,
    main: ValueType,
    dtype: str,
    index: int,
    reads: list[object],
    *,
    site: int,
    packed: bool,
    defines: object | None = None,
    updates: object | None = None,
    scalar_operand: bool = False,
    row_operand: bool = False,
) -> None:
    """Issue op `op` over tile `main` on every lane.

    main: the tile whose extent sets the repeats. defines or updates: the value that the op writes. The first
    instruction takes the result's storage; the following ones need the one before where the op is a chain.
    """
    for core in lanes.cores:
        rows, cols = lanes.part(core, main.shape)
        if not rows or not cols:
            continue
        extent = TileExtent(rows, cols, itemsize_bytes(main.dtype), packed)
        previous: int | None = None
        target = defines
        for step in vector_steps(op, dtype, extent, scalar_operand=scalar_operand, row_operand=row_operand):
            kind, args = _instruction(step)
            deps = [previous] if previous is not None and step.chained else []
            later = updates if defines is None else defines
            previous = emitter.issue(
                kind, core, args, deps=deps, reads=reads, defines=target,
                updates=later if target is None else None, site=site,
            )  # fmt: skip
            target = None


def _instruction(step: VectorStep) -> tuple[Kind, tuple[int, ...]]:
    if step.op is None:
        return Kind.SCALAR, (step.rows * SCALAR_STEP_CYCLES,)
    return Kind.VEC, (int(step.op), step.rows, step.row_bytes, int(step.packed))
