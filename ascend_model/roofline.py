"""The least time that any schedule of a piece of work could take: printed beside every prediction, never tuned.

t = max(cube, vector, HBM, L2): sum over input widths of MACs / (cores x rate x f); vector bytes /
(AIV x 128 B x f); distinct GM bytes / HBM bandwidth; L2 traffic / L2 bandwidth. 128 B per cycle is the rate
of the common two-cycle vector instructions; instructions that take fewer cycles per repeat count their bytes
in proportion, so that the bound stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ascend_model.chipspec import ChipSpec
from ascend_model.cost import stream_cost
from ascend_model.isa import Kind, VecOp
from ascend_model.workload import InstructionStream, Workload

_CUBE_MACS_PER_CYCLE = {1: 8192, 2: 4096, 4: 1024}
_VECTOR_BYTES_PER_CYCLE = 128
_COMMON_SLOPE_CYCLES = 2.0


@dataclass(frozen=True)
class Work:
    """Amounts of work. macs: by bytes of an input element (1, 2, 4)."""

    macs: dict[int, int]
    vector_bytes: float
    unique_gm_bytes: int
    l2_bytes: int


@dataclass(frozen=True)
class Roofline:
    """The four bounds in microseconds; the roofline is the largest."""

    cube_us: float
    vector_us: float
    hbm_us: float
    l2_us: float

    @property
    def total_us(self) -> float:
        return max(self.cube_us, self.vector_us, self.hbm_us, self.l2_us)


def roofline(work: Work, spec: ChipSpec, clusters: int) -> Roofline:
    """The bounds of `work` spread evenly over `clusters` clusters."""
    hz = spec["clock.core_hz"]
    cube_cycles = sum(macs / _CUBE_MACS_PER_CYCLE[width] for width, macs in work.macs.items()) / clusters
    aiv = clusters * spec["cores.aiv_per_cluster"]
    return Roofline(
        cube_us=cube_cycles / hz * 1e6,
        vector_us=work.vector_bytes / (aiv * _VECTOR_BYTES_PER_CYCLE * hz) * 1e6,
        hbm_us=work.unique_gm_bytes / spec["memory.hbm_bytes_per_s"] * 1e6,
        l2_us=work.l2_bytes / (spec["memory.l2_bytes_per_cycle"] * hz) * 1e6,
    )


def work_of(workload: Workload, spec: ChipSpec) -> Work:
    """What a workload does in all: its streams' work times the blocks that run them."""
    blocks = np.zeros(len(workload.streams), dtype=np.int64)
    for task in workload.tasks:
        np.add.at(blocks, task.block_streams, 1)
    macs: dict[int, int] = {}
    vector_bytes, l2_bytes = 0.0, 0
    for count, stream in zip(blocks.tolist(), workload.streams, strict=True):
        for width, amount in _macs(stream).items():
            macs[width] = macs.get(width, 0) + count * amount
        vector_bytes += count * _vector_bytes(stream, spec)
        l2_bytes += count * int(stream_cost(stream, spec).l2_bytes.sum())
    unique = sum(sum(task.gm_unique_nbytes) for task in workload.tasks)
    return Work(macs, vector_bytes, unique, l2_bytes)


def _macs(stream: InstructionStream) -> dict[int, int]:
    m, k, n, width = stream.args[stream.kind == Kind.MMAD].T
    return {int(w): int((m * k * n)[width == w].sum()) for w in np.unique(width)}


def _vector_bytes(stream: InstructionStream, spec: ChipSpec) -> float:
    op, rows, row_bytes, _ = stream.args[stream.kind == Kind.VEC].T
    slopes = np.array([spec[f"vector.{o.name.lower()}.slope_cycles"] for o in VecOp])
    return float((rows * row_bytes * np.minimum(1.0, slopes[op] / _COMMON_SLOPE_CYCLES)).sum())
