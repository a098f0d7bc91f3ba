"""What is known while a group of blocks runs on its cores."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar, LaneSet
from pto_sim.engine.recorder import BlockRecorder
from pto_sim.engine.tile import Tile
from pto_sim.engine.turns import ForTurns
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature, ValueType

if TYPE_CHECKING:
    from pto_sim.engine.cluster import Cluster
    from pto_sim.engine.run import Run

# What the compiler plans with; pypto: src/backend/common/soc.cpp, pto-isa: include/pto/common/buffer_limits.hpp.
UB_BYTES = 184 * 1024
MEMORY_BYTES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "vec": ("UB (Vec)", UB_BYTES),
        "mat": ("L1 (Mat)", 512 * 1024),
        "left": ("L0A (Left)", 64 * 1024),
        "right": ("L0B (Right)", 64 * 1024),
        "acc": ("L0C (Acc)", 128 * 1024),
        "bias": ("the bias buffer (Bias)", 1024),
    }
)
"""Name and bytes of each on-chip memory of a core, by `pl.Mem`."""
BLOCK_BYTES = 32
"""Rows of a vector tile fill whole blocks of this size."""


class CoreState:
    """One group of blocks of one task, running in lockstep.

    lanes: the blocks that are active now. block: their numbers, an int if there is one block.
    unit: the core that runs a function of its own ('aic', 'aiv0', 'aiv1'), '' where lowering places each operation.
    subblock: the vector lane. half: 'up_down' or 'left_right' where a lane computes on whole tiles and stores its half
    of them, which is what the compiler makes of a split function; else 'none'. split: the open pl.split_aiv region.
    ruled: something was used whose rules are checked on the whole block. phase: barriers over all blocks so far.
    """

    __slots__ = (
        "block", "blocks", "cluster", "for_turns", "half", "lanes", "phase", "recorder", "ruled", "run", "split",
        "subblock", "unit",
    )  # fmt: skip

    def __init__(self, run: Run, ids: np.ndarray, blocks: int) -> None:
        self.run = run
        self.lanes = LaneSet(ids)
        self.blocks = blocks
        self.subblock = 0
        self.split: Any = None
        self.unit, self.half = "", "none"
        self.ruled = False
        self.phase = 0
        self.cluster: Cluster | None = None
        self.for_turns = ForTurns(run)
        self.recorder = BlockRecorder(self.lanes)
        self.block: Any = int(ids[0]) if len(ids) == 1 else LaneScalar(self, ids.astype(np.int64), self.lanes)

    def fork(self, unit: str, half: str) -> CoreState:
        """The same blocks on one core, with a stream of its own whose value numbers differ from this one's."""
        core = CoreState(self.run, self.lanes.ids, self.blocks)
        core.lanes = self.lanes
        core.recorder = self.recorder.of_core(self.lanes)
        core.block = (
            self.block if not isinstance(self.block, LaneScalar) else LaneScalar(core, self.block.base, self.lanes)
        )
        core.unit, core.half, core.subblock, core.phase = unit, half, int(unit == "aiv1"), self.phase
        return core

    def absorb(self, core: CoreState) -> None:
        """Append what a core of these blocks recorded, marked as its own."""
        self.mark(core.unit, core.half)
        core.recorder.first = len(self.recorder.ops)
        self.recorder.ops.extend(core.recorder.ops)
        self.recorder.lane_sets.extend(core.recorder.lane_sets)
        self.mark("", "none")

    def mark(self, unit: str, half: str, mode: str = "none") -> None:
        """Record on which core the following operations run; '' leaves it to lowering. mode: of the open region."""
        attrs = (("half", half), ("mode", mode), ("unit", unit))
        signature = OpSignature("core.mark", (), None, attrs, self.run.here())
        self.record(self.run.recorder.signature(signature), -1, ())

    def make_tile(self, data: np.ndarray, type_: ValueType, dtype: DataType, **facts: Any) -> Tile:
        """A new tile with a new value number. The caller records the op that made it."""
        return Tile(self, data, type_, dtype, self.recorder.value(), **facts)

    def record(self, signature: int, out: int, ins: tuple[int, ...], gm: int = -1) -> None:
        """Record one op on the active lanes."""
        self.recorder.add(signature, out, ins, gm, self.lanes)

    def check_row(self, op: str, shape: tuple[int, ...], dtype: DataType) -> None:
        """Raises KernelError (PTO247) if a row of a vector operator's result fills no whole blocks of 32 bytes.

        A column [M, 1] is stored otherwise and exempt (pto-isa: include/pto/common/constants.hpp, BLOCK_BYTE_SIZE).
        """
        columns = shape[-1] if shape else 1
        if columns == 1 or columns * dtype.nbytes % BLOCK_BYTES == 0:
            return
        whole = -(-columns * dtype.nbytes // BLOCK_BYTES) * BLOCK_BYTES // dtype.nbytes
        raise KernelError(
            "PTO247",
            "a row of a tile in UB (Vec) is a multiple of 32 bytes",
            site=self.run.site(),
            values=f"{op} gives {list(shape)} {dtype.name}: {columns * dtype.nbytes} bytes a row",
            hint=f"make rows of {whole} elements, with valid_shape= for those that count",
        )

    def check_capacity(self, shape: tuple[int, ...], dtype: DataType, memory: str = "vec") -> None:
        """Raises KernelError (PTO301) if one tile alone is larger than a memory.

        A product is not checked here: the compiler may cut it along M and N, which lowering decides.
        """
        title, capacity = MEMORY_BYTES.get(memory, ("", sys.maxsize))
        nbytes = math.prod(shape) * dtype.nbytes
        if nbytes > capacity:
            raise KernelError(
                "PTO301",
                f"a tile does not fit {title}",
                site=self.run.site(),
                values=f"{list(shape)} {dtype.name} = {nbytes} bytes, {title} holds {capacity}",
                hint="use a smaller tile and loop over it",
            )
