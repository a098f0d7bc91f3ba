"""Loops of the scalar unit: gathers and scatters that pto-isa writes as one access for each index.

pto-isa: include/pto/npu/a2a3/{MGather,MScatter,TScatter}.hpp. A row of a gather is one DMA; an element is one scalar
access of GM.
"""

from __future__ import annotations

from ascend_model.isa import Core, Kind
from pto_sim.lowering.block_emitter import BlockEmitter
from pto_sim.program.model import OpSignature

SCALAR_STEP_CYCLES = 8
"""Scalar work of one loop iteration: counter, compare, branch and address updates. Assumed; no source gives it."""


def emit_gather(
    emitter: BlockEmitter, core: Core, signature: OpSignature, extent: tuple[int, int], itemsize: int,
    reads: list[object], root: object,
) -> None:  # fmt: skip
    """Issue an mgather of `extent` rows and columns on one core. reads: the index tile; root: the result."""
    rows, cols = extent
    cube = core == Core.AIC
    attrs = dict(signature.attrs)
    if attrs["coalesce"] == "row":
        kind = Kind.GM_TO_L1 if cube else Kind.GM_TO_UB
        for row in range(rows):
            index = emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), reads=reads, site=signature.site)
            emitter.issue(
                kind, core, (1, cols * itemsize), deps=[index], site=signature.site,
                defines=root if row == 0 else None, updates=None if row == 0 else root,
            )  # fmt: skip
        return
    last = None
    for _ in range(rows * cols):
        last = emitter.issue(Kind.GM_READ_SCALAR, core, (itemsize,), reads=reads, site=signature.site)
        if cube:  # into the scratch tensor, from where one load takes them to L1
            last = emitter.issue(Kind.GM_WRITE_SCALAR, core, (itemsize,), deps=[last], site=signature.site)
    deps = [] if last is None else [last]
    if cube:
        emitter.issue(Kind.GM_TO_L1, core, (rows, cols * itemsize), deps=deps, defines=root, site=signature.site)
    else:
        emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), deps=deps, defines=root, site=signature.site)


def emit_scatter(
    emitter: BlockEmitter, core: Core, signature: OpSignature, elements: int, itemsize: int, reads: list[object]
) -> None:
    """Issue an mscatter of `elements` elements on one core. reads: the source and the index tile."""
    for _ in range(elements):
        step = emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), reads=reads, site=signature.site)
        emitter.issue(Kind.GM_WRITE_SCALAR, core, (itemsize,), deps=[step], site=signature.site)
