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


INDEX_BYTES = 4


def accessed_box(signature: OpSignature) -> tuple[int, int]:
    """Rows and columns that a gather or scatter accesses: its tile's valid box."""
    box = dict(signature.attrs)["valid"]
    assert isinstance(box, tuple)
    return box[0], box[1]


def emit_gather(
    emitter: BlockEmitter, core: Core, signature: OpSignature, extent: tuple[int, int], itemsize: int,
    reads: list[object], root: object,
) -> None:  # fmt: skip
    """Issue an mgather of `extent` rows and columns on one core. reads: the index tile; root: the result.

    The cube has no UB: there the index is read from GM.
    """
    if dict(signature.attrs)["coalesce"] == "row":
        _gather_rows(emitter, core, signature.site, extent, itemsize, reads, root)
    else:
        _gather_elements(emitter, core, signature.site, extent, itemsize, reads, root)


def _index(emitter: BlockEmitter, core: Core, site: int, reads: list[object]) -> int:
    if core == Core.AIC:
        return emitter.issue(Kind.GM_READ_SCALAR, core, (INDEX_BYTES,), site=site)
    return emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), reads=reads, site=site)


def _gather_rows(
    emitter: BlockEmitter, core: Core, site: int, extent: tuple[int, int], itemsize: int, reads: list[object],
    root: object,
) -> None:  # fmt: skip
    kind = Kind.GM_TO_L1 if core == Core.AIC else Kind.GM_TO_UB
    for row in range(extent[0]):
        index = _index(emitter, core, site, reads)
        first = row == 0
        emitter.issue(
            kind, core, (1, extent[1] * itemsize), deps=[index], site=site, defines=root if first else None,
            updates=None if first else root,
        )  # fmt: skip


def _gather_elements(
    emitter: BlockEmitter, core: Core, site: int, extent: tuple[int, int], itemsize: int, reads: list[object],
    root: object,
) -> None:  # fmt: skip
    last: list[int] = []
    for _ in range(extent[0] * extent[1]):
        last = [_index(emitter, core, site, reads)]
        last = [emitter.issue(Kind.GM_READ_SCALAR, core, (itemsize,), deps=last, site=site)]
        if core == Core.AIC:  # into the scratch tensor, from where one load takes them to L1
            last = [emitter.issue(Kind.GM_WRITE_SCALAR, core, (itemsize,), deps=last, site=site)]
    if core == Core.AIC:
        args = (extent[0], extent[1] * itemsize)
        emitter.issue(Kind.GM_TO_L1, core, args, deps=last, defines=root, site=site)
    else:
        emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), deps=last, defines=root, site=site)


def emit_scatter(
    emitter: BlockEmitter, core: Core, signature: OpSignature, elements: int, itemsize: int, reads: list[object]
) -> None:
    """Issue an mscatter of `elements` elements on one core. reads: the source and the index tile."""
    for _ in range(elements):
        step = emitter.issue(Kind.SCALAR, core, (SCALAR_STEP_CYCLES,), reads=reads, site=signature.site)
        emitter.issue(Kind.GM_WRITE_SCALAR, core, (itemsize,), deps=[step], site=signature.site)
